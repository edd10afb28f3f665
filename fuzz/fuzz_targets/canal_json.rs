//! Messages of the format `canal-json`.

#![no_main]

flott_fuzz::target!("canal-json");
