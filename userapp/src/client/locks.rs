//! What the driver knows of its own locks.

use syncstress_protocol::{
    LockClass, LockHolder, LockOrder, LockReport, LockStatistics, LockWatch, ioctl,
};

use super::{Client, ClientError, of_item, parse_page};

/// More locks than are held at a time.
const MOST_HOLDERS: usize = 4096;

impl Client {
    /// How far the driver watches its locks.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_watch(&self) -> Result<LockWatch, ClientError> {
        self.ask("QUERY_LOCK_WATCH", ioctl::QUERY_LOCK_WATCH, &[])
    }

    /// The classes of the driver's locks.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_classes(&self) -> Result<Vec<LockClass>, ClientError> {
        self.list("LIST_LOCK_CLASSES", ioctl::LIST_LOCK_CLASSES, of_item(0))
    }

    /// Which class was asked for under which.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_orders(&self) -> Result<Vec<LockOrder>, ClientError> {
        self.list("LIST_LOCK_ORDERS", ioctl::LIST_LOCK_ORDERS, of_item(0))
    }

    /// The locks that are held now, as far as one page has room for them, which is more than can be held.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_holders(&self) -> Result<Vec<LockHolder>, ClientError> {
        const NAME: &str = "LIST_LOCK_HOLDERS";
        let mut page = vec![0; MOST_HOLDERS * size_of::<LockHolder>()];
        let reply = self.send(NAME, ioctl::LIST_LOCK_HOLDERS, &of_item(0)(0), &mut page)?;
        Ok(parse_page(NAME, reply)?.1)
    }

    /// What is wrong with the orders.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_reports(&self) -> Result<Vec<LockReport>, ClientError> {
        self.list("LIST_LOCK_REPORTS", ioctl::LIST_LOCK_REPORTS, of_item(0))
    }

    /// The chain of the report of this index.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_report_links(&self, report: u32) -> Result<Vec<LockOrder>, ClientError> {
        let name = "LIST_LOCK_REPORT_LINKS";
        self.list(name, ioctl::LIST_LOCK_REPORT_LINKS, of_item(report))
    }

    /// What was counted and measured for each class.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn lock_statistics(&self) -> Result<Vec<LockStatistics>, ClientError> {
        self.list(
            "LIST_LOCK_STATISTICS",
            ioctl::LIST_LOCK_STATISTICS,
            of_item(0),
        )
    }
}
