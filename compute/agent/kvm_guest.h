/* compute/agent/kvm_guest.h -- the bytes of the probe's boot disk. */
#pragma once

#define KVM_GUEST_OK "nuvolet: this guest ran"

extern const unsigned char kvm_guest[], kvm_guest_end[];
