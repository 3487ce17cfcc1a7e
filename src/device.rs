//! Devices, chosen at run time by flag: `auto`, `cpu`, `wgpu`, `wgpu:N`.
//!
//! The CPU is Burn's `flex` device. GPUs run on `burn-wgpu`. Software rasterisers are listed and can be chosen, but
//! never by `auto`.

use burn::tensor::Device;

/// Why a device can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("`{0}` is not a device")]
    Unknown(String),
    #[error("there is no device `{flag}`; this machine has {}", known.join(", "))]
    Absent { flag: String, known: Vec<String> },
    #[error("`{0}` is not compiled into this program")]
    NotCompiled(String),
    #[error(
        "the driver of {0} lacks VK_KHR_workgroup_memory_explicit_layout, which this program's kernels need"
    )]
    NoLayout(String),
    #[error("`{flag}` could not be started: {reason}")]
    Start { flag: String, reason: String },
}

impl DeviceError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "use auto, cpu, wgpu or wgpu:N".into(),
            Self::Absent { .. } => "`codistill devices` lists what there is".into(),
            Self::NotCompiled(_) => "rebuild with `cargo build --release --features wgpu`".into(),
            Self::Start { .. } => "run on `--device cpu`, or update the graphics driver".into(),
            Self::NoLayout(_) => {
                "run on `--device cpu`, update the graphics driver, or build without `spirv`: \
                 `cargo build --release --no-default-features --features wgpu,fusion`"
                    .into()
            }
        })
    }
}

/// A device of this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its value for `--device`.
    pub flag: String,
    /// Description for people.
    pub name: String,
    /// Whether it is a GPU emulated on the CPU.
    pub software: bool,
    device: Device,
}

/// A device ready for tensors.
#[derive(Clone, Debug)]
pub struct Opened {
    pub flag: String,
    pub name: String,
    pub device: Device,
}

/// Whether this build can open a GPU: the feature `wgpu`.
pub const WITH_GPU: bool = cfg!(feature = "wgpu");

/// All devices of this machine, the CPU first.
pub fn list() -> Vec<Found> {
    let mut found = vec![cpu()];
    found.extend(gpu::list());
    found
}

fn cpu() -> Found {
    let threads = rayon::current_num_threads();
    let name = format!("{} ({threads} threads)", cpu_name());
    Found { flag: "cpu".into(), name, software: false, device: Device::flex() }
}

/// Opens the device that `flag` names.
///
/// # Errors
/// The flag is unknown, names a device that is absent or not compiled in, or its driver refuses.
pub fn open(flag: &str) -> Result<Opened, DeviceError> {
    match flag {
        "cpu" => {}
        "auto" | "wgpu" => {}
        other => match other.strip_prefix("wgpu:").map(str::parse::<usize>) {
            Some(Ok(_)) => {}
            _ => return Err(DeviceError::Unknown(other.into())),
        },
    }
    if flag.starts_with("wgpu") && !WITH_GPU {
        return Err(DeviceError::NotCompiled(flag.into()));
    }
    if flag == "cpu" {
        // Without a look for GPUs, whose drivers take time and memory and write to stderr.
        return Ok(opened(cpu()));
    }
    let found = list();
    let known = found.iter().map(|f| f.flag.clone()).collect();
    let chosen = match flag {
        "auto" => found.iter().find(|f| f.flag != "cpu" && !f.software).or(found.first()),
        "wgpu" => found.iter().filter(|f| f.flag != "cpu").min_by_key(|f| f.software),
        named => found.iter().find(|f| f.flag == named),
    };
    let chosen = chosen.cloned().ok_or(DeviceError::Absent { flag: flag.into(), known })?;
    if chosen.flag == "cpu" { Ok(opened(chosen)) } else { gpu::start(chosen) }
}

fn opened(found: Found) -> Opened {
    Opened { flag: found.flag, name: found.name, device: found.device }
}

/// The CPU's model name; its architecture if the system does not tell.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Resident memory of this process, (current, peak) in bytes, where the system reports it.
pub fn process_memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

#[cfg(feature = "wgpu")]
mod gpu {
    use burn::tensor::{Device, DeviceKind, DeviceType};
    use burn_wgpu::{MemoryConfiguration, WgpuBackend, WgpuSetup, wgpu};

    use super::{DeviceError, Found, Opened};

    /// Most adapters of each kind.
    const MOST: usize = 16;

    fn kinds() -> impl Iterator<Item = DeviceKind> {
        (0..MOST)
            .flat_map(|i| {
                [DeviceKind::DiscreteGpu(i), DeviceKind::IntegratedGpu(i), DeviceKind::VirtualGpu(i)]
            })
            .chain([DeviceKind::Cpu])
    }

    /// The graphics interface, the constructor of its devices, and those that exist.
    ///
    /// On Linux only Vulkan is used: OpenGL there computes on the CPU, more slowly than our CPU kernels, and its
    /// libraries write to stderr on mere enumeration.
    fn api() -> (WgpuBackend, fn(DeviceKind) -> Device, Vec<Device>) {
        #[cfg(feature = "spirv")]
        if cfg!(target_os = "linux") {
            let reachable = Device::enumerate(DeviceType::Vulkan).into_vec();
            return (WgpuBackend::Vulkan, Device::vulkan, reachable);
        }
        let api = if cfg!(target_os = "linux") { WgpuBackend::Vulkan } else { WgpuBackend::Auto };
        (api, Device::wgpu, Device::enumerate(DeviceType::Wgpu).into_vec())
    }

    /// All adapters, GPUs first.
    pub fn list() -> Vec<Found> {
        let (_, device, reachable) = api();
        let there = kinds().filter(|kind| reachable.contains(&device(kind.clone())));
        there
            .enumerate()
            .map(|(n, kind)| {
                let software = matches!(kind, DeviceKind::Cpu);
                let name = if software { "software rasteriser".into() } else { format!("{kind:?}") };
                Found { flag: format!("wgpu:{n}"), name, software, device: device(kind) }
            })
            .collect()
    }

    /// Starts the runtime, so that a failure is an error here instead of a panic at the first tensor.
    pub fn start(found: Found) -> Result<Opened, DeviceError> {
        let (api, device, _) = api();
        let Some(kind) = kinds().find(|kind| device(kind.clone()) == found.device) else {
            return Ok(super::opened(found));
        };
        let refused = |reason: String| DeviceError::Start { flag: found.flag.clone(), reason };
        let options = Device::wgpu_options()
            .device_kind(kind)
            .graphics_api(api)
            .memory_config(MemoryConfiguration::default());
        let (device, setup) = options.init_with_setup().map_err(|e| refused(e.to_string()))?;
        let name = adapter_name(&setup);
        if cfg!(feature = "spirv") && lacks_layout(&setup) {
            return Err(DeviceError::NoLayout(name));
        }
        Ok(Opened { flag: found.flag.clone(), name, device })
    }

    /// Whether a Vulkan device lacks the extension without which CubeCL 0.11.3 writes invalid SPIR-V for shared memory
    /// (it confuses the memory's type with that of its address), on which drivers crash.
    fn lacks_layout(setup: &WgpuSetup) -> bool {
        // SAFETY: only a list that the adapter made at enumeration is read.
        #[allow(unsafe_code)]
        let adapter = unsafe { setup.adapter.as_hal::<wgpu::hal::api::Vulkan>() };
        adapter.is_some_and(|adapter| {
            let capabilities = adapter.physical_device_capabilities();
            !capabilities.supports_extension(c"VK_KHR_workgroup_memory_explicit_layout")
        })
    }

    fn adapter_name(setup: &WgpuSetup) -> String {
        let info = setup.adapter.get_info();
        format!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info)
    }
}

#[cfg(not(feature = "wgpu"))]
mod gpu {
    use super::{DeviceError, Found, Opened};

    pub fn list() -> Vec<Found> {
        Vec::new()
    }

    /// Can't fail here, but does where there are GPUs.
    #[expect(clippy::unnecessary_wraps)]
    pub fn start(found: Found) -> Result<Opened, DeviceError> {
        Ok(super::opened(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_nonsense_is_refused() {
        assert_eq!(open("cpu").unwrap().flag, "cpu");
        for flag in ["gpu", "wgpu:x", "wgpu:", ""] {
            assert!(matches!(open(flag), Err(DeviceError::Unknown(_))), "{flag}");
        }
    }
}
