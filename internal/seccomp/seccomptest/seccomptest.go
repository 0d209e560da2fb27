// Package seccomptest tells what a seccomp(2) filter makes of a system call, without
// making it: for those of other machines.
package seccomptest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
)

// Evaluate carries a filter out for a call, as the kernel does, and returns the action.
func Evaluate(filter []unix.SockFilter, arch, number uint32, args ...uint64) (uint32, error) {
	data := map[uint32]uint32{seccomp.OffsetNumber: number, seccomp.OffsetArch: arch}
	for i, arg := range args {
		data[seccomp.OffsetArgs+8*uint32(i)] = uint32(arg)
		data[seccomp.OffsetArgs+8*uint32(i)+4] = uint32(arg >> 32)
	}
	var a uint32
	for pc := 0; pc < len(filter); pc++ {
		in := filter[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K, nil
		default:
			return 0, fmt.Errorf("instruction %d is %#x", pc, in.Code)
		}
	}
	return 0, fmt.Errorf("the filter has no end")
}
