use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_mesa();
    codistill::cli::main()
}

/// Keeps Mesa's device-selection layer from asking for a Wayland display, for which it complains on stderr
/// once a Vulkan instance on machines without a desktop. Who chooses a device by that layer keeps it.
fn quiet_mesa() {
    let set = |name| std::env::var_os(name).is_some();
    if !set("XDG_RUNTIME_DIR") && !set("MESA_VK_DEVICE_SELECT") && !set("NODEVICE_SELECT") {
        // SAFETY: the first thing the program does; no other thread runs that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
