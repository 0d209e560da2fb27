// Package vm_test boots real machines in QEMU, as many at a time as there are
// processors. All tests take three hours, so all except one machine run only with
// -nightly.
package vm_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

var nightly = flag.Bool("nightly", false, "boot all machines; three hours")

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "tests/vm: cannot make disks: not root")
		os.Exit(1)
	}
	if !*nightly {
		fmt.Println("tests/vm: one machine is booted; the others nightly, by `go test ./tests/vm -nightly`")
	}
	os.Exit(m.Run())
}

// atNight reports whether a nightly test runs now. Without -nightly such a test does
// nothing, and TestMain says so.
func atNight() bool { return *nightly }

// layout has an image's properties for tests.
type layout struct {
	recipe string
	root   string // its subvolume
	name   string // of its boot environment
	level  string // the level of fallback after a reboot
}

var layouts = map[string]layout{
	image.BIOSGRUB:       {image.BIOSGRUB, "/@rootfs", "rootfs", "initramfs"},
	image.BIOSGRUBStable: {image.BIOSGRUBStable, "/@rootfs", "rootfs", "initramfs"},
	image.BIOSGRUBUsr:    {image.BIOSGRUBUsr, "/@rootfs", "rootfs", "initramfs"},
	image.BIOSBootExt4:   {image.BIOSBootExt4, "/@rootfs", "rootfs", "kernel"},
	image.UEFIGRUB:       {image.UEFIGRUB, "/@", "default", "kernel"},
	image.UEFISDBoot:     {image.UEFISDBoot, "/@rootfs", "rootfs", "kernel"},
}

// prepared returns the image of a recipe after apt-be init.
func prepared(t *testing.T, recipe string) image.Image {
	t.Helper()
	return initialized(t, image.Installed(t, recipe))
}

// initialized returns an image with apt-be after apt-be init.
func initialized(t *testing.T, installed image.Image) image.Image {
	t.Helper()
	return installed.Initialize(t)
}

// env is an environment in the output of apt-be list --json.
type env struct {
	Name, State, Flags, Reason string
	Running, Next              bool
	Kernels                    []struct{ Version string }
	Trial                      *struct {
		Method string
		Fault  *struct{ Kind, Text string }
	}
}

// status is the output of apt-be status --json.
type status struct {
	Running  env
	Next     *env
	Pending  []env
	FellBack []env                   `json:"fell_back"`
	Fallback *struct{ Level string } `json:"fallback"`
	Exit     int                     `json:"-"`
}

func statusOf(t *testing.T, g *guest.Guest) status {
	t.Helper()
	result := g.Run(t, "apt-be status --json")
	s := status{Exit: result.Status}
	if err := json.Unmarshal([]byte(result.Output), &s); err != nil {
		t.Fatalf("cannot read the status: %v:\n%s", err, result.Output)
	}
	return s
}

// envOf returns the environment with a name.
func envOf(t *testing.T, g *guest.Guest, name string) env {
	t.Helper()
	var list struct{ Environments []env }
	if err := json.Unmarshal([]byte(g.Shell(t, "apt-be list --json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Environments {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("there is no boot environment %s", name)
	return env{}
}

// wantBoot checks the root of a boot.
func wantBoot(t *testing.T, got guest.Boot, root string) {
	t.Helper()
	if got.Root != root {
		t.Fatalf("the machine runs %s, want %s", got.Root, root)
	}
}

// wantRunning checks, by all outputs, that an environment runs, and which one boots
// next.
func wantRunning(t *testing.T, g *guest.Guest, name, next string) status {
	t.Helper()
	s := statusOf(t, g)
	if s.Running.Name != name || s.Next == nil || s.Next.Name != next {
		t.Errorf("running %+v, next %+v; want %s and %s", s.Running, s.Next, name, next)
	}
	return s
}

// blessed waits for the verdict on the running environment, which is on trial.
func blessed(t *testing.T, g *guest.Guest) {
	t.Helper()
	g.Shell(t, `for i in $(seq 600); do
		case $(systemctl is-active apt-be-bless.service) in active|failed) break;; esac; sleep 0.5; done
		systemctl is-active apt-be-bless.service`)
}

// shorten sets the deadline of trials in seconds.
func shorten(t *testing.T, g *guest.Guest, seconds int) {
	t.Helper()
	g.Shell(t, fmt.Sprintf("echo 'Apt-Be::Deadline \"%d\";' >/etc/apt/apt.conf.d/99deadline", seconds))
}

// contains checks that an output contains a text.
func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", what, want, text)
		}
	}
}
