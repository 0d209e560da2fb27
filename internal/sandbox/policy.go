package sandbox

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// policyFile is what invoke-rc.d asks whether it may act
// (/usr/share/doc/sysv-rc/README.policy-rc.d). Without one, init scripts are
// run although there is no systemd.
const policyFile = "/usr/sbin/policy-rc.d"

// policy puts the sandbox's policy over the root's own, if it has one, or over
// an empty file, which CleanUp removes. A root that is read-only and has none
// stays so: nothing can be installed in it either.
func (a *assembler) policy(spec *Spec) error {
	if spec.Policy == "" {
		return nil
	}
	err := a.write(policyFile, nil, 0)
	switch {
	case err == nil, errors.Is(err, fs.ErrExist):
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("cannot place a policy-rc.d: %w", err)
	}
	if err := a.bind(spec.Policy, policyFile, true); err != nil {
		return fmt.Errorf("cannot place a policy-rc.d: %w", err)
	}
	return nil
}

// CleanUp removes what a sandbox that has ended, or was killed, left in its
// root: the empty file below its policy. root is where the root is to be had
// outside of any sandbox. A policy of the root's own stays.
func CleanUp(root string) error {
	a := &assembler{root: root}
	err := a.inParent(policyFile, func(name string) error {
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if st.Mode != unix.S_IFREG || st.Size != 0 { // an empty file without any permission is ours
			return nil
		}
		return unix.Unlink(name)
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}
