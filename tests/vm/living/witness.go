package living

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// patience is the longest time between two reports of a writer.
const patience = 5 * time.Minute

// Witness records the reports of a machine's writers. It exists until the test ends,
// independently of the machine.
type Witness struct {
	address string // its address for the machine

	mu   sync.Mutex
	told map[string][]string // entries, by place
}

// NewWitness returns a witness that knows the entries of an earlier one, if there is
// one.
func NewWitness(t guest.T, before *Witness) *Witness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}
	t.Cleanup(func() { listener.Close() })
	// QEMU's own network has the host at this address.
	w := &Witness{address: fmt.Sprintf("10.0.2.2:%d", listener.Addr().(*net.TCPAddr).Port), told: map[string][]string{}}
	if before != nil {
		w.told = before.Told()
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.listen(conn)
		}
	}()
	return w
}

func (w *Witness) listen(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		// A line without an end was cut off.
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		place, entry, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		w.mu.Lock()
		w.told[place] = append(w.told[place], entry)
		w.mu.Unlock()
	}
}

// Told returns the reported entries, by place.
func (w *Witness) Told() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := maps.Clone(w.told)
	for place, entries := range told {
		told[place] = slices.Clone(entries)
	}
	return told
}

// Attend makes the witness the one of a machine, whose writers start now and after each
// boot.
func (w *Witness) Attend(t guest.T, g *guest.Guest) {
	t.Helper()
	g.WaitNetwork(t)
	g.Shell(t, "mkdir -p /etc/living && echo "+w.address+" >/etc/living/witness && systemctl restart 'living@"+strings.Join(Places, "' 'living@")+"'")
}

// WaitMore waits until every writer of a machine has reported n more entries.
func (w *Witness) WaitMore(t guest.T, g *guest.Guest, more int) {
	t.Helper()
	before := w.Told()
	deadline := time.Now().Add(patience)
	for {
		now := w.Told()
		silent := slices.IndexFunc(Places, func(place string) bool { return len(now[place]) < len(before[place])+more })
		if silent < 0 {
			return
		}
		if time.Now().After(deadline) {
			place := Places[silent]
			t.Fatalf("of %s there are %d entries after %s, and there were %d:\n%s", place, len(now[place]), patience, len(before[place]),
				g.Run(t, "systemctl --no-pager --full status living@"+place).Output)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
