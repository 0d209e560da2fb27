package be

import "time"

// Trial is the first boot of an environment that has not proved itself.
type Trial struct {
	Nonce    string        `json:"nonce"` // of hexadecimal digits; in the kernel's command line as apt-be.trial=
	Method   Method        `json:"method"`
	Once     bool          `json:"once,omitempty"` // even if it proves healthy, the boot after it takes the default
	Armed    time.Time     `json:"armed"`
	From     string        `json:"from,omitempty"`    // the boot id of the kernel that armed it
	Deadline time.Duration `json:"deadline"`          // how long it may take to become healthy; in JSON, nanoseconds
	Synced   time.Time     `json:"synced,omitzero"`   // when the environment got what had happened in the running system, as that went down
	Started  time.Time     `json:"started,omitzero"`  // when the environment itself said so
	BootID   string        `json:"boot_id,omitempty"` // of the kernel then, see random(4)
	Units    Units         `json:"units"`
	Fault    *Fault        `json:"fault,omitempty"` // found by the environment itself
}

// Method is how the machine goes from one environment to another.
type Method string

// The methods, from the one with the longest outage.
const (
	Reboot     Method = "reboot"
	Kexec      Method = "kexec"
	SoftReboot Method = "soft-reboot"
)

// Units are the services that ran when a trial was armed, and those that had
// failed: what the new environment is measured by.
type Units struct {
	Active []string `json:"active,omitempty"`
	Failed []string `json:"failed,omitempty"`
}

// Fault is why an environment is not healthy.
type Fault struct {
	Kind FaultKind `json:"kind"`
	Text string    `json:"text"` // a sentence without a full stop
}

// FaultKind is how far a boot came that failed.
type FaultKind string

// The kinds, in the order of a boot.
const (
	FaultKernelMissing FaultKind = "kernel-missing"
	FaultInitrdMissing FaultKind = "initrd-missing"
	FaultKernel        FaultKind = "kernel"    // it never reached its initramfs
	FaultInitramfs     FaultKind = "initramfs" // it never reached init
	FaultInit          FaultKind = "init"      // init never came as far as apt-be-boot.service
	FaultDeadline      FaultKind = "deadline"  // services did not come up in time
	FaultHealth        FaultKind = "health"    // a health check failed
)
