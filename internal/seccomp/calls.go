package seccomp

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// abis are the sets of system call numbers of the programs that a Debian root on amd64
// and arm64 can contain, by the audit system's names (linux/audit.h).
var abis = [...]uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM}

// Call has the numbers of a system call on x86-64, i386, aarch64 and arm, and its own
// number of x32, if it differs from x86-64's; 0 if there is none.
type Call [len(abis) + 1]uint32

// x32 is the index of x32's number in a Call.
const x32 = len(abis)

// numbersOf returns the numbers of calls on one of abis.
func numbersOf(calls []Call, which int) (numbers []uint32) {
	for _, call := range calls {
		if call[which] != 0 {
			numbers = append(numbers, call[which])
		}
		if abis[which] == unix.AUDIT_ARCH_X86_64 && call[x32] != 0 {
			numbers = append(numbers, call[x32])
		}
	}
	return numbers
}

// Calls returns system calls by their names. An unknown name is a mistake in this
// program, and panics.
func Calls(names ...string) []Call {
	var calls []Call
	for _, name := range names {
		call, known := table[name]
		if !known {
			panic(fmt.Sprintf("no numbers of %s(2)", name))
		}
		calls = append(calls, call)
	}
	return calls
}

// Numbers returns the numbers of calls in one set of numbers, an AUDIT_ARCH_….
func Numbers(arch uint32, names ...string) []uint32 {
	for which, known := range abis {
		if known == arch {
			return numbersOf(Calls(names...), which)
		}
	}
	return nil
}

// Names returns the names of all known calls.
func Names() []string { return slices.Sorted(maps.Keys(table)) }

// table is from arch/x86/entry/syscalls/syscall_{64,32}.tbl, scripts/syscall.tbl and
// arch/arm/tools/syscall.tbl.
var table = map[string]Call{
	"acct":               {163, 51, 89, 51},
	"add_key":            {248, 286, 217, 309},
	"bpf":                {321, 357, 280, 386},
	"clock_settime":      {227, 264, 112, 262},
	"clock_settime64":    {0, 404, 0, 404},
	"clone":              {56, 120, 220, 120},
	"clone3":             {435, 435, 435, 435},
	"delete_module":      {176, 129, 106, 129},
	"fanotify_init":      {300, 338, 262, 367},
	"fdatasync":          {75, 148, 83, 148},
	"finit_module":       {313, 350, 273, 379},
	"fsconfig":           {431, 431, 431, 431},
	"fsmount":            {432, 432, 432, 432},
	"fsopen":             {430, 430, 430, 430},
	"fspick":             {433, 433, 433, 433},
	"fsync":              {74, 118, 82, 118},
	"init_module":        {175, 128, 105, 128},
	"io_uring_enter":     {426, 426, 426, 426},
	"io_uring_register":  {427, 427, 427, 427},
	"io_uring_setup":     {425, 425, 425, 425},
	"ioctl":              {16, 54, 29, 54, 514},
	"ioperm":             {173, 101, 0, 0},
	"iopl":               {172, 110, 0, 0},
	"kexec_file_load":    {320, 0, 294, 401},
	"kexec_load":         {246, 283, 104, 347, 528},
	"keyctl":             {250, 288, 219, 311},
	"lookup_dcookie":     {212, 253, 18, 249},
	"mount":              {165, 21, 40, 21},
	"mount_setattr":      {442, 442, 442, 442},
	"move_mount":         {429, 429, 429, 429},
	"msync":              {26, 144, 227, 144},
	"nfsservctl":         {180, 169, 42, 169},
	"open_by_handle_at":  {304, 342, 265, 371},
	"open_tree":          {428, 428, 428, 428},
	"open_tree_attr":     {467, 467, 467, 467},
	"perf_event_open":    {298, 336, 241, 364},
	"pidfd_getfd":        {438, 438, 438, 438},
	"pivot_root":         {155, 217, 41, 218},
	"process_madvise":    {440, 440, 440, 440},
	"process_mrelease":   {448, 448, 448, 448},
	"quotactl":           {179, 131, 60, 131},
	"quotactl_fd":        {443, 443, 443, 443},
	"reboot":             {169, 88, 142, 88},
	"request_key":        {249, 287, 218, 310},
	"sched_setattr":      {314, 351, 274, 380},
	"sched_setscheduler": {144, 156, 119, 156},
	"setns":              {308, 346, 268, 375},
	"settimeofday":       {164, 79, 170, 79},
	"socket":             {41, 359, 198, 281},
	"socketcall":         {0, 102, 0, 0},
	"stime":              {0, 25, 0, 0},
	"swapoff":            {168, 115, 225, 115},
	"swapon":             {167, 87, 224, 87},
	"sync":               {162, 36, 81, 36},
	"sync_file_range":    {277, 314, 84, 341},
	"syncfs":             {306, 344, 267, 373},
	"syslog":             {103, 103, 116, 103},
	"umount":             {0, 22, 0, 0},
	"umount2":            {166, 52, 39, 52},
	"unshare":            {272, 310, 97, 337},
	"userfaultfd":        {323, 374, 282, 388},
	"vhangup":            {153, 111, 58, 111},
}
