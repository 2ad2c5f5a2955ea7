//! A list taken for one of shorter lives: what is put in as such could be taken out as living long.

use wdk_sync::{InterlockedList, SList};

fn shorten<'a>(list: &'a SList<&'static str>) -> &'a SList<&'a str> {
    list
}

fn shorten_both_ends<'a>(list: &'a InterlockedList<&'static str>) -> &'a InterlockedList<&'a str> {
    list
}

fn main() {}
