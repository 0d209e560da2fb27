package seccomp_test

import (
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/seccomp"
	"github.com/apt-be/apt-be/internal/seccomp/seccomptest"
)

// TestNumbers compares the table with that of golang.org/x/sys, which is generated from
// the kernel's.
func TestNumbers(t *testing.T) {
	sys, err := build.Import("golang.org/x/sys/unix", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`)
	for arch, file := range map[uint32]string{
		unix.AUDIT_ARCH_X86_64: "amd64", unix.AUDIT_ARCH_I386: "386", unix.AUDIT_ARCH_AARCH64: "arm64", unix.AUDIT_ARCH_ARM: "arm",
	} {
		text, err := os.ReadFile(filepath.Join(sys.Dir, "zsysnum_linux_"+file+".go"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := map[string]uint32{}
		for _, match := range constant.FindAllStringSubmatch(string(text), -1) {
			number, _ := strconv.Atoi(match[2])
			theirs[strings.TrimPrefix(strings.ToLower(match[1]), "arm_")] = uint32(number)
		}
		for _, name := range seccomp.Names() {
			want := []uint32{theirs[name]}
			if theirs[name] == 0 {
				want = nil
			}
			if x32, also := map[string]uint32{"ioctl": 514, "kexec_load": 528}[name]; also && file == "amd64" {
				want = append(want, x32)
			}
			if got := seccomp.Numbers(arch, name); !slices.Equal(got, want) {
				t.Errorf("%s of %s: %d, want %d", name, file, got, want)
			}
		}
	}
	if got := seccomp.Numbers(unix.AUDIT_ARCH_RISCV64, "mount"); got != nil {
		t.Errorf("mount of an unknown machine: %d", got)
	}
}

func TestProgram(t *testing.T) {
	first, second, third := seccomp.Errno(unix.EPERM), seccomp.Errno(unix.ENOSYS), seccomp.Success
	filter := seccomp.Program(seccomp.Errno(unix.EACCES),
		seccomp.Rule{Calls: seccomp.Calls("ioctl", "clone"), If: &seccomp.Condition{Arg: 1, Is: []uint32{5, 6}}, Action: first},
		seccomp.Rule{Calls: seccomp.Calls("ioctl", "iopl"), If: &seccomp.Condition{Arg: 5, Mask: 0xf0, Is: []uint32{0x10, 0}}, Action: second},
		seccomp.Rule{Calls: seccomp.Calls("clone", "stime"), Action: third},
	)
	const amd64, i386, arm64, x32 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, seccomp.X32Bit
	for _, tt := range []struct {
		arch, number uint32
		second       uint64
		last         uint64
		want         uint32
	}{
		{amd64, 16, 5, 0, first},
		{amd64, 16, 6, 0, first},
		{amd64, 16 | x32, 6, 0, first},
		{amd64, 514 | x32, 6, 0, first},
		{amd64, 16, 1<<32 | 6, 0x20, first},
		{amd64, 16, 7, 0x1f, second},
		{amd64, 16, 7, 0x20, unix.SECCOMP_RET_ALLOW},
		{amd64, 172, 5, 0x0f, second},
		{amd64, 56, 5, 0, first},
		{amd64, 56, 7, 0, third},
		{amd64, 56 | x32, 7, 0, third},
		{amd64, 25, 5, 0, unix.SECCOMP_RET_ALLOW},
		{i386, 25, 5, 0, third},
		{i386, 16, 5, 0, unix.SECCOMP_RET_ALLOW},
		{arm64, 0, 5, 0, unix.SECCOMP_RET_ALLOW}, // iopl and stime do not exist there
		{unix.AUDIT_ARCH_S390X, 1, 0, 0, seccomp.Errno(unix.EACCES)},
	} {
		got, err := seccomptest.Evaluate(filter, tt.arch, tt.number, 0, tt.second, 0, 0, 0, tt.last)
		if err != nil || got != tt.want {
			t.Errorf("%+v: %#x, %v", tt, got, err)
		}
	}
}
