//! The migrations are embedded by a macro, of whose reading of files Cargo knows nothing.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
