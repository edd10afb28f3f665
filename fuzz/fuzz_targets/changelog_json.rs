//! Messages of the format `changelog-json`.

#![no_main]

flott_fuzz::target!("changelog-json");
