use std::process::ExitCode;

fn main() -> ExitCode {
    codistill::cli::main()
}
