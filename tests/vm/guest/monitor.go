package guest

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// monitor is a connection to QEMU's monitor (QMP).
type monitor struct {
	mu   sync.Mutex
	conn net.Conn
	from *json.Decoder
	met  bool // the capabilities are negotiated
}

func newMonitor(conn net.Conn) *monitor {
	return &monitor{conn: conn, from: json.NewDecoder(conn)}
}

// Monitor runs a command of QEMU's human monitor ("system_reset", "savevm NAME",
// "loadvm NAME"), and returns its output.
func (g *Guest) Monitor(t T, command string) string {
	t.Helper()
	said, err := g.qmp.human(command)
	if err != nil {
		t.Fatalf("cannot tell QEMU %q: %v", command, err)
	}
	return said
}

func (m *monitor) human(command string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.met {
		if _, err := m.execute("qmp_capabilities", nil); err != nil {
			return "", err
		}
		m.met = true
	}
	said, err := m.execute("human-monitor-command", map[string]string{"command-line": command})
	if err != nil {
		return "", err
	}
	var text string
	return text, json.Unmarshal(said, &text)
}

// execute runs a QMP command. It skips the greeting and events.
func (m *monitor) execute(command string, arguments any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return nil, err
	}
	for {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := m.from.Decode(&answer); err != nil {
			return nil, err
		}
		switch {
		case answer.Error != nil:
			return nil, fmt.Errorf("%s: %s", command, answer.Error.Desc)
		case answer.Return != nil:
			return answer.Return, nil
		}
	}
}
