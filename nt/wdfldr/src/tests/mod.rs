//! Drivers in this process: clients that bind as a compiled driver does, on nthost's kernel.
//!
//! What is asserted is what the reference pages of the functions and events say.

mod add;
mod callbacks;
mod device_state;
mod harness;
mod idle;
mod interfaces;
mod interrupts;
mod life;
mod objects;
mod power;
mod queues;
mod races;
mod registry;
mod removal;
mod requests;
mod samples;
mod support;
mod synchronization;
mod violations;
