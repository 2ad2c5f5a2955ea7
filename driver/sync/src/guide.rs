//! The guide: chapters to read from the beginning. Their examples run as tests.

#[doc = include_str!("../guide/first_steps.md")]
pub mod first_steps {}

#[doc = include_str!("../guide/choosing.md")]
pub mod choosing {}

#[doc = include_str!("../guide/how_a_lock_can_go_wrong.md")]
pub mod how_a_lock_can_go_wrong {}

#[doc = include_str!("../guide/lock_order.md")]
pub mod lock_order {}

#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
