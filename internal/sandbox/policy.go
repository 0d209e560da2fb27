package sandbox

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// policyFile tells invoke-rc.d whether it may act
// (/usr/share/doc/sysv-rc/README.policy-rc.d). Without systemd and without this file,
// init scripts would start services.
const policyFile = "/usr/sbin/policy-rc.d"

// policy mounts the sandbox's policy over the root's own, or, if the root has none,
// over an empty file, which CleanUp removes. A read-only root without a policy stays
// without: no package can be installed in it.
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

// CleanUp removes the empty file below the policy of a sandbox that has ended or was
// killed. root is the path of the root outside of any sandbox. A policy of the root
// itself remains.
func CleanUp(root string) error {
	a := &assembler{root: root}
	err := a.inParent(policyFile, func(name string) error {
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if st.Mode != unix.S_IFREG || st.Size != 0 { // the sandbox's file is empty and has no permissions
			return nil
		}
		return unix.Unlink(name)
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}
