#![no_main]

// The reader may panic: that is caught, so it must not end the process as other panics do.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |bytes: &[u8]| mutations::parquet(bytes));
