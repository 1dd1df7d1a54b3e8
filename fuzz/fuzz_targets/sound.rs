#![no_main]

// Codecs may panic: the decoder catches it, so it must not end the process as other panics do.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |bytes: &[u8]| mutations::sound(bytes));
