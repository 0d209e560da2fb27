package activation

import (
	"fmt"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/watchdog"
)

// Kernel parameters of a trial. hooks/initramfs also reads them.
const (
	NonceParameter    = "apt-be.trial"
	deadlineParameter = "apt-be.deadline"
)

// PanicSeconds is the time for which the console shows the panic of a kernel on trial,
// before the machine resets.
const PanicSeconds = 10

// WatchdogGrace is the time between the deadline and the watchdog's reset: time for an
// orderly shutdown.
const WatchdogGrace = time.Minute

// TrialParameters adds the parameters of a trial to those of a kernel: the nonce, the
// seconds until the watchdog ends the trial, and the reset after a panic (panic=, which
// initramfs-tools reads too).
func TrialParameters(parameters string, t *be.Trial) string {
	kept := WithoutTrial(parameters)
	seconds := int(min(t.Deadline+WatchdogGrace, watchdog.Longest) / time.Second)
	added := fmt.Sprintf("%s=%s %s=%d panic=%d", NonceParameter, t.Nonce, deadlineParameter, seconds, PanicSeconds)
	return strings.TrimSpace(kept + " " + added)
}

// WithoutTrial removes the parameters of a trial.
func WithoutTrial(parameters string) string {
	var kept []string
	trial := false
	for _, p := range fstab.Params(parameters) {
		name, _, _ := strings.Cut(p, "=")
		if name == NonceParameter || name == deadlineParameter {
			trial = true
			continue
		}
		kept = append(kept, p)
	}
	for i, p := range kept {
		if trial && p == fmt.Sprintf("panic=%d", PanicSeconds) {
			kept = append(kept[:i], kept[i+1:]...)
			break
		}
	}
	for i, p := range kept {
		kept[i] = fstab.Param(p)
	}
	return strings.Join(kept, " ")
}

// NonceOf returns the nonce of a trial among the parameters of a kernel, or "".
func NonceOf(parameters string) string {
	for _, p := range fstab.Params(parameters) {
		if name, value, _ := strings.Cut(p, "="); name == NonceParameter {
			return value
		}
	}
	return ""
}
