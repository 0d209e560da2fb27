package sdboot

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/regular"
)

// trialPrefix begins the names of trial entries. The nonce follows, then the counter of
// boot attempts: "+1" before the trial. systemd-boot changes it to "+0-1" before it
// reads kernel and initrd. systemd-bless-boot.service removes the counter once services
// are up; it does not know health checks.
const trialPrefix = prefix + "trial-"

// untried ends the name of an entry that was not tried.
const untried = "+1" + suffix

// trialSortKey sorts after all other entries of apt-be, which have a digit after the
// prefix.
const trialSortKey = prefix + "trial"

func validNonce(nonce string) bool {
	return nonce != "" && strings.Trim(nonce, "0123456789abcdef") == ""
}

// oneShot returns the pattern, in the style of fnmatch(3), by which systemd-boot
// chooses the entry of a trial that was not taken. The entry's id is the file's name:
// in 252 all of "apt-be-trial-NONCE+1.conf", in 257 without the counter. The pattern
// does not match "+0-1.conf", so 252 does not try it twice even if the firmware never
// forgets the variable.
func oneShot(nonce string) string { return trialPrefix + nonce + "[+.][1c]*f" }

// runningTrial returns the nonce of the trial whose entry has booted this system, or
// "": LoaderEntrySelected has the entry's id.
func (l *Loader) runningTrial() string {
	id, err := l.Vars.Get("LoaderEntrySelected")
	if err != nil {
		return ""
	}
	return nonceOf(id)
}

// nonceOf returns the nonce in the id or the file name of a trial's entry, or "".
func nonceOf(id string) string {
	rest, ok := strings.CutPrefix(id, trialPrefix)
	if !ok {
		return ""
	}
	nonce, _, _ := strings.Cut(strings.TrimSuffix(rest, suffix), "+")
	return nonce
}

// found is the entry of a trial.
type found struct {
	file  string // its path
	nonce string
	tried bool
}

// trials finds the entries of trials.
func (l *Loader) trials() ([]found, error) {
	files, err := filepath.Glob(l.entry(trialPrefix + "*" + suffix))
	if err != nil {
		return nil, err
	}
	var trials []found
	for _, file := range files {
		trials = append(trials, found{file, nonceOf(filepath.Base(file)), !strings.HasSuffix(file, untried)})
	}
	return trials, nil
}

// trialFile returns the name of a trial's entry: the current name, or that of an entry
// that was not taken.
func (l *Loader) trialFile(nonce string) (string, error) {
	trials, err := l.trials()
	for _, trial := range trials {
		if trial.nonce == nonce {
			return filepath.Base(trial.file), err
		}
	}
	return trialPrefix + nonce + untried, err
}

// missing returns the missing file of an entry: "kernel", "initrd" or "".
func (l *Loader) missing(file string) (string, error) {
	data, err := regular.ReadFile(file, regular.State)
	if err != nil {
		return "", err
	}
	entry := parse(data)
	for _, wanted := range []struct{ what, path string }{{"kernel", entry.Kernel}, {"initrd", entry.Initrd}} {
		if wanted.path == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(l.ESP, wanted.path)); os.IsNotExist(err) {
			return wanted.what, nil
		}
	}
	return "", nil
}

// parse reads the lines of an entry that name files.
func parse(data []byte) (entry boot.Entry) {
	for line := range strings.Lines(string(data)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key {
		case "linux":
			entry.Kernel = strings.TrimSpace(value)
		case "initrd":
			entry.Initrd = strings.TrimSpace(value)
		}
	}
	return entry
}
