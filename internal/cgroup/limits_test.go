package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestShare(t *testing.T) {
	const meminfo = "MemTotal:        4000000 kB\nMemFree:         1000000 kB\nSwapTotal:       1000000 kB\nHugePages_Total:       0\n"
	for name, c := range map[string]struct {
		threads, pids, meminfo string
		want                   Limits
	}{
		"a big machine":    {"192729\n", "4194304\n", meminfo, Limits{8192, 3072000000, 512000000}},
		"a small one":      {"3900\n", "32768\n", meminfo, Limits{1300, 3072000000, 512000000}},
		"few numbers":      {"192729\n", "4096\n", meminfo, Limits{1365, 3072000000, 512000000}},
		"no swap":          {"192729\n", "4194304\n", "MemTotal: 1024 kB\nSwapTotal: 0 kB\n", Limits{8192, 786432, 0}},
		"nothing is known": {"", "", "", Limits{Processes: 8192}},
	} {
		if got := share(c.threads, c.pids, c.meminfo); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// tree makes directories with the files of control groups.
func tree(t *testing.T, groups map[string]map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for group, files := range groups {
		dir := filepath.Join(top, group)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return top
}

// fresh returns the files of a new group.
func fresh() map[string]string {
	return map[string]string{
		"pids.max": "max\n", "memory.max": "max\n", "memory.high": "max\n", "memory.swap.max": "max\n",
		"cpu.max": "max 100000\n", "cpu.weight": "100\n", "cpu.idle": "0\n", "cpuset.cpus": "\n", "cpuset.mems": "\n",
		"io.max": "", "io.weight": "default 100\n",
	}
}

func with(files map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

func TestLimitsFor(t *testing.T) {
	ours := Limits{Processes: 1000, Memory: 1 << 20, Swap: 1 << 19}
	for name, c := range map[string]struct {
		own    map[string]string
		limits Limits
		want   []setting
	}{
		"a unit without limits": {fresh(), ours, []setting{{"pids.max", "1000"}, {"memory.max", "1048576"}, {"memory.swap.max", "524288"}}},
		"a stricter unit": {with(fresh(), "pids.max", "99\n", "memory.max", "4096\n", "memory.swap.max", "0\n", "memory.high", "2048\n"), ours,
			[]setting{{"pids.max", "99"}, {"memory.max", "4096"}, {"memory.high", "2048"}, {"memory.swap.max", "0"}}},
		"a unit with more": {with(fresh(), "pids.max", "9999\n", "memory.max", "4194304\n"), ours,
			[]setting{{"pids.max", "1000"}, {"memory.max", "1048576"}, {"memory.swap.max", "524288"}}},
		"none of ours": {with(fresh(), "pids.max", "9999\n"), Limits{}, []setting{{"pids.max", "9999"}}},
		"nothing set":  {fresh(), Limits{}, nil},
		"all the rest": {with(fresh(), "cpu.max", "20000 100000\n", "cpu.weight", "20\n", "cpuset.cpus", "0-1\n", "cpuset.mems", "0\n",
			"io.max", "8:0 rbps=max wbps=1048576 riops=max wiops=max\n8:16 rbps=1024 wbps=max riops=max wiops=max\n", "io.weight", "default 50\n8:0 20\n"), Limits{},
			[]setting{{"cpu.max", "20000 100000"}, {"cpu.weight", "20"}, {"cpuset.cpus", "0-1"}, {"cpuset.mems", "0"},
				{"io.weight", "default 50"}, {"io.weight", "8:0 20"},
				{"io.max", "8:0 rbps=max wbps=1048576 riops=max wiops=max"}, {"io.max", "8:16 rbps=1024 wbps=max riops=max wiops=max"}}},
		// The kernel then shows the weight 0, but refuses it as a value.
		"idle":           {with(fresh(), "cpu.idle", "1\n", "cpu.weight", "0\n"), Limits{}, []setting{{"cpu.idle", "1"}}},
		"no controllers": {nil, ours, []setting{{"pids.max", "1000"}, {"memory.max", "1048576"}, {"memory.swap.max", "524288"}}},
	} {
		top := tree(t, map[string]map[string]string{"slice/unit": c.own, "slice/new": fresh()})
		own, dir := filepath.Join(top, "slice/unit"), filepath.Join(top, "slice/new")
		list := limitsFor(own, dir, c.limits)
		if !slices.Equal(list, c.want) {
			t.Errorf("%s:\n%v\nwant\n%v", name, list, c.want)
		}
		if notes := apply(dir, list); len(notes) > 0 {
			t.Errorf("%s: %q", name, notes)
		}
		for _, s := range list[:min(len(list), 1)] {
			if got := read(dir, s.file); !strings.HasPrefix(got, s.value) {
				t.Errorf("%s: %s is %q", name, s.file, got)
			}
		}
	}
}

// A group without controllers cannot have limits. A group below this process's group
// takes over no limits.
func TestLimitsWithoutControllers(t *testing.T) {
	top := tree(t, map[string]map[string]string{"own": with(fresh(), "cpu.max", "20000 100000\n"), "own/below": fresh(), "bare": {}})
	ours := Limits{Processes: 1000, Memory: 1 << 20}
	if list := limitsFor(top+"/own", top+"/bare", ours); slices.ContainsFunc(list, func(s setting) bool { return s.file != "cpu.max" }) {
		t.Errorf("without controllers: %v", list)
	}
	if notes := apply(top+"/bare", []setting{{"cpu.max", "20000 100000"}}); len(notes) != 1 || !strings.Contains(notes[0], "cpu.max = 20000 100000") {
		t.Errorf("a limit that can't be set: %q", notes)
	}
	want := []setting{{"pids.max", "1000"}, {"memory.max", "1048576"}}
	if list := limitsFor(top+"/own", top+"/own/below", ours); !slices.Equal(list, want) {
		t.Errorf("below the own one: %v", list)
	}
}

func TestEnable(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		wrote string
		notes int
	}{
		"all there":    {map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "memory pids\n"}, "memory pids", 0},
		"one not":      {map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "pids\n"}, "+memory", 0},
		"none to have": {map[string]string{"cgroup.controllers": "hugetlb\n", "cgroup.subtree_control": "\n"}, "", 2},
	} {
		dir := tree(t, map[string]map[string]string{"slice": c.files}) + "/slice"
		notes := enable(dir)
		got := strings.TrimSpace(read(dir, "cgroup.subtree_control"))
		if len(notes) != c.notes || !strings.HasPrefix(got, c.wrote) {
			t.Errorf("%s: wrote %q, notes %q", name, got, notes)
		}
	}
}
