/* KMDF 1.33: the part of the framework's interface that drivers here use. */
#ifndef OPENKIT_WDF_H
#define OPENKIT_WDF_H

#include "wdftypes.h"
#include "wdffuncenum.h"
#include "wdfobject.h"
#include "wdfsync.h"
#include "wdfdriver.h"
#include "wdfdevice.h"
#include "wdfio.h"
#include "wdfrequest.h"
#include "wdfasserts.h"



#endif /* OPENKIT_WDF_H */
