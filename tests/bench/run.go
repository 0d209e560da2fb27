package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// run measures one upgrade on a fresh machine, and records a failure in the result. An
// error concerns the bench itself. The machine's output goes to log.
func (l *Lab) run(ctx context.Context, v Variant, w Workload, log string) (r Result, err error) {
	plan, err := l.plan(ctx, w)
	if err != nil {
		return r, err
	}
	template, err := l.machine(ctx, v.Kind, w)
	if err != nil {
		return r, err
	}
	archives := l.inputs.archives(w)
	if r.DebBytes, err = plan.files(archives); err != nil {
		return r, err
	}
	there, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err == nil {
		err = l.disk.clear()
	}
	if err == nil {
		err = l.disk.snapshot(template, running)
	}
	// All runs begin in the same state: only the packages are in memory.
	if err == nil {
		err = syncFS(l.disk.top)
	}
	if err == nil {
		err = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200)
	}
	if err == nil {
		err = warm(archives)
	}
	if err != nil {
		return r, fmt.Errorf("cannot prepare a run: %w", err)
	}
	output, err := os.Create(log)
	if err != nil {
		return r, fmt.Errorf("cannot prepare a run: %w", err)
	}
	defer output.Close()
	command := l.disk.enter(ctx, running, archives, v.command()...)
	command.Stdout, command.Stderr = output, output
	failed, err := l.measure(&r, command)
	if err != nil {
		return r, err
	}
	if failed == nil {
		failed = l.judge(ctx, &r, v, template, plan)
	}
	if now, err := filepath.Glob(filepath.Join(archives, "*.deb")); failed == nil && len(now) != len(there) {
		failed = fmt.Errorf("it changed the downloaded packages: %d, before %d (%v)", len(now), len(there), err)
	}
	if failed != nil {
		r.Failed = failed.Error()
	}
	return r, l.disk.clear()
}

// measure runs the command, and records its cost.
func (l *Lab) measure(r *Result, command *exec.Cmd) (failed, err error) {
	before, err := l.disk.space()
	if err != nil {
		return nil, err
	}
	wroteBefore, err := written(l.disk.device)
	if err != nil {
		return nil, err
	}
	group, err := newGroup()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	dir, err := os.Open(group.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}

	// The counters belong to this thread and the processes that it starts.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var counters []Counter
	for _, point := range syncPoints {
		c, err := newCounter(point)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		counters = append(counters, c)
	}
	started := time.Now()
	failed = command.Run()
	r.Wall = time.Since(started).Seconds()
	for _, c := range counters {
		n, err := c.Read()
		if err != nil {
			return nil, err
		}
		r.Syncs += n
	}
	if r.User, r.System, err = group.CPU(); err != nil {
		return nil, err
	}

	started = time.Now()
	if err := syncFS(l.disk.top); err != nil {
		return nil, err
	}
	r.SyncWall = time.Since(started).Seconds()
	wroteAfter, err := written(l.disk.device)
	if err != nil {
		return nil, err
	}
	r.Written = wroteAfter - wroteBefore
	after, err := l.disk.space()
	if err != nil {
		return nil, err
	}
	r.Data, r.Metadata = after.Data-before.Data, after.Metadata-before.Metadata
	return failed, nil
}

// judge examines the result of an upgrade, and returns what is wrong.
func (l *Lab) judge(ctx context.Context, r *Result, v Variant, template string, plan Plan) error {
	made := running
	if v.Kind.isolated() {
		list, err := filepath.Glob(l.disk.path("@be/[^.]*"))
		if err != nil || len(list) != 1 {
			return fmt.Errorf("there are %d boot environments (%v)", len(list), err)
		}
		made = "@be/" + filepath.Base(list[0])
	}
	root, origin := l.disk.path(made), l.disk.path(template)
	before, err := installed(origin)
	if err != nil {
		return err
	}
	after, err := installed(root)
	if err != nil {
		return err
	}
	r.Changes = changes(before, after)
	if err := plan.check(after); err != nil {
		return err
	}
	if err := checkKernels(root); err != nil {
		return err
	}
	m, err := minimum(origin, root)
	if err != nil {
		return err
	}
	r.Minimum, r.Same, r.SameBytes = m.Bytes, m.Same, m.SameBytes
	audit, err := outputOf(l.disk.enter(ctx, made, "", "dpkg", "--audit"))
	if err != nil {
		return err
	}
	if strings.TrimSpace(audit) != "" {
		return fmt.Errorf("dpkg --audit says %q", audit)
	}
	return nil
}
