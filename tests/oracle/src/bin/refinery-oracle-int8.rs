//! Stock refinery with 8-byte versions.

fn main() -> std::process::ExitCode {
    refinery_oracle::main()
}
