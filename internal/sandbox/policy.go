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

// placePolicy puts the sandbox's policy over the root's own, if it has one,
// and returns what removes the traces. A root that is read-only and has none
// stays so: nothing can be installed in it either.
func placePolicy(spec Spec) (undo func(), err error) {
	none := func() {}
	if spec.Policy == "" {
		return none, nil
	}
	a := &assembler{root: spec.MountDir}
	made := false
	err = a.write(policyFile, nil, 0)
	switch {
	case err == nil:
		made = true
	case errors.Is(err, fs.ErrExist):
		made = a.isPlaceholder()
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrNotExist):
		return none, nil
	default:
		return none, fmt.Errorf("cannot place a policy-rc.d: %w", err)
	}
	if err := a.bind(spec.Policy, policyFile, true); err != nil {
		return none, fmt.Errorf("cannot place a policy-rc.d: %w", err)
	}
	return func() {
		_ = a.inParent(policyFile, func(name string) error {
			if err := unix.Unmount(name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil || !made {
				return err
			}
			return unix.Unlink(name)
		})
	}, nil
}

// isPlaceholder tells an empty file that a killed sandbox left from a policy
// of the root's own.
func (a *assembler) isPlaceholder() bool {
	placeholder := false
	_ = a.inParent(policyFile, func(name string) error {
		var st unix.Stat_t
		err := unix.Lstat(name, &st)
		placeholder = err == nil && st.Mode == unix.S_IFREG && st.Size == 0
		return err
	})
	return placeholder
}
