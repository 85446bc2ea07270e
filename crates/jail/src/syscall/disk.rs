//! Loop devices: a file of ours as a block device, for as long as it is used.
//!
//! The rule is the parent's: one call each, and no decision.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
/// The device lets go of its file with its last user.
const AUTOCLEAR: u32 = 4;
/// What it writes does not lie in memory twice.
const DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Configuration {
    fd: u32,
    block_bytes: u32,
    info: Info,
    reserved: [u64; 8],
}

/// The number of a loop device that nobody uses at this moment.
pub(crate) fn loop_device_free(control: impl AsFd) -> io::Result<c_int> {
    // SAFETY: this request takes no argument.
    // JUSTIFICATION: neither std nor rustix knows loop devices.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    super::done(libc::c_long::from(number))?;
    Ok(number)
}

/// Makes a file the content of a loop device that is free.
pub(crate) fn loop_device_fill(
    device: impl AsFd,
    file: impl AsFd,
    block_bytes: u32,
) -> io::Result<()> {
    // SAFETY: all zeroes is a valid configuration: integers and arrays only.
    // JUSTIFICATION: it has a dozen fields that mean nothing here.
    let mut configuration: Configuration = unsafe { std::mem::zeroed() };
    configuration.fd = super::number(&file.as_fd());
    configuration.block_bytes = block_bytes;
    configuration.info.flags = AUTOCLEAR | DIRECT_IO;
    // SAFETY: this request reads a `loop_config`, which outlives the call and
    // has the kernel's layout.
    // JUSTIFICATION: as above.
    let answer = unsafe {
        libc::ioctl(
            device.as_fd().as_raw_fd(),
            LOOP_CONFIGURE,
            &raw const configuration,
        )
    };
    super::done(libc::c_long::from(answer)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Configuration, Info};

    #[test]
    fn a_configuration_is_as_long_as_the_kernels() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Configuration>(), 304);
    }
}
