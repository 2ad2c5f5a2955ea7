/* Starts hostbench.sys in Wine and has it do runs. The command line has the path of the image, and four numbers
 * for each run; on a line of its own each is answered with the three numbers of its outcome. */
#define __USE_MINGW_ANSI_STDIO 1
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>
#include <winioctl.h>

#define REQUEST CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

static int fail(const char *what)
{
    fprintf(stderr, "%s: error %lu\n", what, GetLastError());
    return 1;
}

static BOOL start_driver(const char *image)
{
    SC_HANDLE manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    SC_HANDLE service = CreateServiceA(manager, "hostbench", NULL, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER,
                                       SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, image, NULL, NULL, NULL, NULL, NULL);
    return service != NULL && StartServiceA(service, 0, NULL);
}

int main(int count, char **words)
{
    HANDLE device;
    if (count < 2 || !start_driver(words[1]))
        return fail("cannot start the driver");
    device = CreateFileA("\\\\.\\Hostbench", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (device == INVALID_HANDLE_VALUE)
        return fail("cannot open the device");
    for (int at = 2; at + 3 < count; at += 4) {
        DWORD run[4], length;
        ULONGLONG outcome[3];
        for (int field = 0; field < 4; field++)
            run[field] = strtoul(words[at + field], NULL, 10);
        if (!DeviceIoControl(device, REQUEST, run, sizeof(run), outcome, sizeof(outcome), &length, NULL))
            return fail("the driver refused a run");
        printf("%llu %llu %llu\n", outcome[0], outcome[1], outcome[2]);
        fflush(stdout);
    }
    return 0;
}
