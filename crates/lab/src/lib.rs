//! Real libvirtd, QEMU and sshd hosts in network namespaces on one machine.
