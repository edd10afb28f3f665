//! Messages of the format `json`.

#![no_main]

flott_fuzz::target!("json");
