//! Stock refinery with 4-byte versions.

fn main() -> std::process::ExitCode {
    refinery_oracle::main()
}
