use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    quiet_mesa();
    keep_memory();
    cli::main()
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

/// Lets glibc keep freed memory for the next step instead of giving it back to the kernel: every tensor of a step is
/// a fresh block of some megabytes, and faulting its pages in anew took two fifths of a training step. Who tunes the
/// allocator keeps that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_memory() {
    let tuned = ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"];
    if tuned.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    const MIB: i32 = 1 << 20;
    // SAFETY: sets numbers inside the allocator, before any other thread runs; refused values change nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1024 * MIB);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 * MIB);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory() {}
