//! The Rust twin of hello.c: prints `hello REALTIME_NS`; with any argument it then sleeps for ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    println!("hello {}", now.as_nanos());
    while std::env::args().len() > 1 {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
