package sdboot

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/regular"
)

// trialPrefix begins the names of trial entries. After it and the nonce comes
// the counter of boot attempts: "+1" before the trial, which systemd-boot makes
// "+0-1" before it reads kernel and initrd. systemd-bless-boot.service takes
// the counter away once services are up, and knows nothing of health checks.
const trialPrefix = prefix + "trial-"

// untried ends the name of an entry that was not tried.
const untried = "+1" + suffix

// trialSortKey comes after those of all other entries of ours: a digit begins
// what they have after the prefix.
const trialSortKey = prefix + "trial"

func validNonce(nonce string) bool {
	return nonce != "" && strings.Trim(nonce, "0123456789abcdef") == ""
}

// oneShot is what makes systemd-boot choose the entry of a trial that was not
// taken: a pattern in the manner of fnmatch(3), as the entry's id is the
// file's name, which in 252 is all of "apt-be-trial-NONCE+1.conf", and in 257
// without the counter. It does not match "+0-1.conf", so that 252 does not try
// it twice even if the firmware never forgets the variable.
func oneShot(nonce string) string { return trialPrefix + nonce + "[+.][1c]*f" }

// runningTrial is the nonce of the trial whose entry has booted this system, or
// "": LoaderEntrySelected has the id of the entry.
func (l *Loader) runningTrial() string {
	id, err := l.Vars.Get("LoaderEntrySelected")
	if err != nil {
		return ""
	}
	return nonceOf(id)
}

// nonceOf is the nonce in the id or the file name of a trial's entry, or "".
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

// trialFile is the name of the entry of a trial: the one that it has, or that
// of one that was not taken.
func (l *Loader) trialFile(nonce string) (string, error) {
	trials, err := l.trials()
	for _, trial := range trials {
		if trial.nonce == nonce {
			return filepath.Base(trial.file), err
		}
	}
	return trialPrefix + nonce + untried, err
}

// missing is what the loader does not find of what an entry names: "kernel",
// "initrd" or "".
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

// parse reads from an entry what names files.
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
