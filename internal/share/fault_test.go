package share_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/storetest"
)

var errFault = errors.New("a fault was injected")

// fault is the event at one of the calls to the store or the machine.
type fault string

const (
	fails  fault = "an error"
	killed fault = "killed"    // mounts stay
	reset  fault = "power cut" // the next boot mounts the fstab's entries
)

// faulty is a store and a machine with a fault before the nth call of any kind.
type faulty struct {
	store.Store
	at, calls int
	fault     fault
}

func (f *faulty) step() error {
	f.calls++
	switch {
	case f.calls != f.at:
		return nil
	case f.fault == fails:
		return errFault
	}
	panic(errFault)
}

func (f *faulty) Get(path string) (sub store.Subvolume, err error) {
	if err := f.step(); err != nil {
		return sub, err
	}
	return f.Store.Get(path)
}

func (f *faulty) List(dir string) ([]store.Subvolume, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	return f.Store.List(dir)
}

func (f *faulty) change(do func() error) error {
	if err := f.step(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.step()
}

func (f *faulty) Create(p string) error { return f.change(func() error { return f.Store.Create(p) }) }
func (f *faulty) Delete(p string) error { return f.change(func() error { return f.Store.Delete(p) }) }
func (f *faulty) Sync() error           { return f.change(f.Store.Sync) }
func (f *faulty) Rename(p, to string) error {
	return f.change(func() error { return f.Store.Rename(p, to) })
}
func (f *faulty) Exchange(p, with string) error {
	return f.change(func() error { return f.Store.Exchange(p, with) })
}
func (f *faulty) SetReadOnly(p string, readOnly bool) error {
	return f.change(func() error { return f.Store.SetReadOnly(p, readOnly) })
}
func (f *faulty) Snapshot(src, dst string, readOnly bool) error {
	return f.change(func() error { return f.Store.Snapshot(src, dst, readOnly) })
}

// operation is an operation that a fault interrupts.
type operation struct {
	name    string
	prepare func(w *fixture)
	run     func(w *fixture) error
	// check checks the state after a Recover, including mail that arrived since.
	check  func(w *fixture, since map[string]string)
	sealed bool // no process can write while nothing is mounted
}

var operations = []operation{
	{"add", func(*fixture) {}, (*fixture).add, (*fixture).checkMail, false},
	{"remove", func(w *fixture) { check(w.T, w.add()) }, (*fixture).remove, (*fixture).checkMail, false},
	{"restore beside", (*fixture).spoil, func(w *fixture) error { return w.restore(false) }, (*fixture).checkBeside, false},
	{"restore in place", (*fixture).spoil, func(w *fixture) error { return w.restore(true) }, (*fixture).checkInPlace, true},
}

// TestFaultsAtEachCall injects a fault at each call, while services write mail before
// the next command. All mail must exist once, without leftovers.
func TestFaultsAtEachCall(t *testing.T) {
	for _, op := range operations {
		for _, fault := range []fault{fails, killed, reset} {
			t.Run(op.name+"/"+string(fault), func(t *testing.T) {
				t.Parallel()
				for n, reached := 1, true; reached; n++ {
					t.Run(fmt.Sprint(n), func(t *testing.T) { reached = newFixture(t).injectFault(op, fault, n) })
					if !reached && n < 10 {
						t.Errorf("there were only %d calls", n)
					}
				}
			})
		}
	}
}

func (w *fixture) injectFault(op operation, fault fault, n int) (reached bool) {
	w.Helper()
	op.prepare(w)
	st := &faulty{Store: w.store, at: n, fault: fault}
	w.open(st)
	w.machine.call, w.machine.done = st.step, st.step
	died, err := storetest.Survive(w.T, w.dir, errFault, func() error { return op.run(w) })
	reached = st.calls >= n
	if !reached && (err != nil || died) {
		w.Fatalf("without a fault it ended with %v", err)
	}
	if err != nil && !errors.Is(err, errFault) {
		w.Errorf("it failed by %v", err)
	}
	w.machine.call, w.machine.done = nil, nil
	if died && fault == reset {
		delete(w.machine.mounts, "/var/mail")
		if strings.Contains(w.fstab("@rootfs"), "@share/mail") {
			w.machine.mounts["/var/mail"] = "@share/mail"
		}
	}
	since := map[string]string{}
	if !w.frozen() && !(op.sealed && w.machine.mounts["/var/mail"] == "") {
		since["new"] = "came since"
		w.write(w.visible()+"/new", since["new"])
	}
	w.recover()
	op.check(w, since)
	w.noJournals()
	return reached
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func (w *fixture) checkMail(since map[string]string) {
	w.Helper()
	if strings.Contains(w.fstab("@rootfs"), "@share/mail") {
		w.isShare(both(mail, since))
	} else {
		w.isDirectory(both(mail, since))
		w.noShareBut()
	}
}

// noShareBut checks that no share exists, except one that others mount.
func (w *fixture) noShareBut() {
	w.Helper()
	mounted := strings.Contains(w.fstab("@be/other"), "@share/mail")
	if names := w.names(); mounted != (len(names) == 1) || len(names) > 1 {
		w.Errorf("there are shares %q, and the fstab of the other one is\n%s", names, w.fstab("@be/other"))
	}
}
