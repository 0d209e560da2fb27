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

// patience is how long a writer may take to say something.
const patience = 5 * time.Minute

// Witness is told by the writers of a machine what they have written. It is
// there until the test ends, whatever becomes of the machine.
type Witness struct {
	address string // where the machine finds it

	mu   sync.Mutex
	told map[string][]string // entries, by place
}

// NewWitness returns one that has been told what another one knows, if there is
// another one.
func NewWitness(t guest.T, before *Witness) *Witness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}
	t.Cleanup(func() { listener.Close() })
	// This is where QEMU's own network has the host.
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
		// What has no end was cut off.
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

// Told returns what has been written so far, by place.
func (w *Witness) Told() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := maps.Clone(w.told)
	for place, entries := range told {
		told[place] = slices.Clone(entries)
	}
	return told
}

// Attend makes it the witness of a machine, whose writers begin, now and after
// each boot.
func (w *Witness) Attend(t guest.T, g *guest.Guest) {
	t.Helper()
	g.WaitNetwork(t)
	g.Shell(t, "mkdir -p /etc/living && echo "+w.address+" >/etc/living/witness && systemctl restart 'living@"+strings.Join(Places, "' 'living@")+"'")
}

// WaitMore waits until every writer of a machine has told of so many entries
// more.
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
