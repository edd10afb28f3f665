//! Messages of the format `maxwell-json`.

#![no_main]

flott_fuzz::target!("maxwell-json");
