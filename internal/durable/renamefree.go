package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// RenameFree renames a file. If the new name is taken, it appends a number.
func RenameFree(from, to string) error {
	const tries = 1000
	free := to
	for n := 2; ; n++ {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, free, unix.RENAME_NOREPLACE)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EEXIST) || n > tries {
			return &os.LinkError{Op: "rename", Old: from, New: free, Err: err}
		}
		free = fmt.Sprintf("%s-%d", to, n)
	}
}
