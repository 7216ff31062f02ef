//! Hypervisor and Probe over libvirt (qemu) and ssh.
