package be

import "time"

// Trial is the first boot of an environment that is not yet blessed.
type Trial struct {
	Nonce    string        `json:"nonce"` // hexadecimal digits; apt-be.trial= on the kernel command line
	Method   Method        `json:"method"`
	Once     bool          `json:"once,omitempty"` // do not make it the default, even if it is healthy
	Armed    time.Time     `json:"armed"`
	From     string        `json:"from,omitempty"`    // the boot ID of the kernel that armed it
	Deadline time.Duration `json:"deadline"`          // the time limit for becoming healthy; in JSON, nanoseconds
	Synced   time.Time     `json:"synced,omitzero"`   // the time of the sync at shutdown
	Started  time.Time     `json:"started,omitzero"`  // the time when the environment itself reported its start
	BootID   string        `json:"boot_id,omitempty"` // the boot ID of that kernel, see random(4)
	Units    Units         `json:"units"`
	Fault    *Fault        `json:"fault,omitempty"` // the fault that the environment itself found
}

// Method is the way in which the machine changes to another environment.
type Method string

// The methods; the one with the longest outage is first.
const (
	Reboot     Method = "reboot"
	Kexec      Method = "kexec"
	SoftReboot Method = "soft-reboot"
)

// Units are the services that were active, or had failed, when a trial was armed. The
// health check compares the new environment with them.
type Units struct {
	Active []string `json:"active,omitempty"`
	Failed []string `json:"failed,omitempty"`
}

// Fault is the reason why an environment is unhealthy.
type Fault struct {
	Kind FaultKind `json:"kind"`
	Text string    `json:"text"` // a sentence without a full stop
}

// FaultKind is the stage of the boot that failed.
type FaultKind string

// The kinds, in the order of a boot.
const (
	FaultKernelMissing FaultKind = "kernel-missing"
	FaultInitrdMissing FaultKind = "initrd-missing"
	FaultKernel        FaultKind = "kernel"    // the boot did not reach the initramfs
	FaultInitramfs     FaultKind = "initramfs" // the boot did not reach init
	FaultInit          FaultKind = "init"      // init did not reach apt-be-boot.service
	FaultDeadline      FaultKind = "deadline"  // services did not start in time
	FaultHealth        FaultKind = "health"    // a health check failed
)
