//! Messages of the format `protobuf`.

#![no_main]

flott_fuzz::target!("protobuf");
