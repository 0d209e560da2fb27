// Package method chooses the method by which the machine goes from one boot environment
// to another, and gives the reasons. A method is cheaper if it restarts less of the
// machine. The choice is pure; gather.go gathers the facts.
package method

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
)

// Facts are the facts that decide about the methods.
type Facts struct {
	Soft  softreboot.Facts
	Kexec error // the reason why kexec is impossible; nil if it is possible
	// The level of a trial's protection by the boot loader, with the reason.
	Level       boot.Level
	LevelReason string
}

// Option is a method with its assessment.
type Option struct {
	Method      be.Method  `json:"method"`
	Possible    bool       `json:"possible"`   // it ends in the environment
	Sufficient  bool       `json:"sufficient"` // it is possible, and no part of the environment waits for a later reboot
	Allowed     bool       `json:"allowed"`    // it may be picked without a request of the user
	Picked      bool       `json:"picked"`
	Reasons     []string   `json:"reasons"`
	Level       boot.Level `json:"fallback"` // the protection of a trial with this method
	LevelReason string     `json:"fallback_reason"`
}

// Choose returns the methods, the cheapest first, and picks the first that is
// sufficient and allowed. It can always pick reboot, even if reboot is not allowed.
func Choose(f Facts, allowed []be.Method) []Option {
	options := []Option{withSoftReboot(f), withKexec(f), withReboot(f)}
	picked := false
	for i := range options {
		o := &options[i]
		o.Allowed = o.Method == be.Reboot || slices.Contains(allowed, o.Method)
		o.Picked = !picked && o.Sufficient && o.Allowed
		picked = picked || o.Picked
		if o.Sufficient && !o.Allowed {
			o.Reasons = append(o.Reasons, PolicyItem+" does not list it")
		}
	}
	return options
}

// Picked returns the option that Choose has picked.
func Picked(options []Option) Option {
	return options[slices.IndexFunc(options, func(o Option) bool { return o.Picked })]
}

// Of returns the option of a method.
func Of(options []Option, m be.Method) Option {
	return options[slices.IndexFunc(options, func(o Option) bool { return o.Method == m })]
}

func withSoftReboot(f Facts) Option {
	verdict := softreboot.Suitable(f.Soft)
	o := Option{
		Method:   be.SoftReboot,
		Possible: len(verdict.Impossible) == 0,
		Reasons:  slices.Concat(verdict.Impossible, verdict.Lacking),
		Level:    boot.LevelUserspace,
		LevelReason: "the boot loader's default does not change, so the end of the running kernel leads back to it; " +
			"no initramfs can watch over init",
	}
	o.Sufficient = o.Possible && len(verdict.Lacking) == 0
	if o.Sufficient {
		o.Reasons = []string{"kernel, initrd and kernel parameters are the running ones"}
	}
	return o
}

func withKexec(f Facts) Option {
	o := Option{
		Method:      be.Kexec,
		Possible:    f.Kexec == nil,
		Sufficient:  f.Kexec == nil,
		Level:       boot.LevelKernel,
		LevelReason: "the boot loader does not know of it: any reset boots the default",
	}
	if f.Kexec != nil {
		o.Reasons = []string{f.Kexec.Error()}
		return o
	}
	why := "it starts the running kernel again"
	if from, to := f.Soft.Running.Release, f.Soft.Next.Release; from != to {
		why = fmt.Sprintf("it starts the other kernel (%s → %s)", from, to)
	}
	o.Reasons = []string{why + ", without firmware and boot loader"}
	return o
}

func withReboot(f Facts) Option {
	return Option{
		Method:      be.Reboot,
		Possible:    true,
		Sufficient:  true,
		Reasons:     []string{"always possible; includes firmware and boot loader"},
		Level:       f.Level,
		LevelReason: f.LevelReason,
	}
}

// Summary describes an option in a sentence, with the reasons.
func (o Option) Summary() string {
	reasons := strings.Join(o.Reasons, "; ")
	switch {
	case !o.Possible:
		return "no: " + reasons
	case !o.Sufficient:
		return "not sufficient: " + reasons
	}
	return "yes: " + reasons
}
