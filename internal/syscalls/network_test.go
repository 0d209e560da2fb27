package syscalls

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func addressOf[T any](v *T) uintptr { return uintptr(unsafe.Pointer(v)) }

// The descriptors of the process in the sandbox, and its orders.
const (
	channelFD  = 3
	tcpPort    = "SYSCALLS_TCP"
	udpPort    = "SYSCALLS_UDP"
	abstract   = "SYSCALLS_ABSTRACT"
	interfaces = "SYSCALLS_INTERFACES"
)

// TestNetwork lets a process in a network namespace of its own use the test's network,
// until the process closes that network.
func TestNetwork(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	name := fmt.Sprintf("@apt-be-test-%d", os.Getpid())
	local, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	datagrams := make(chan string, 100)
	go func() {
		for text := make([]byte, 100); ; {
			n, from, err := udp.ReadFrom(text)
			if err != nil {
				close(datagrams)
				return
			}
			datagrams <- string(text[:n])
			_, _ = udp.WriteTo(text[:n], from)
		}
	}()
	connections := make(chan string, 100)
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, "hello")
				_, _ = io.Copy(io.Discard, c) // until the other end is closed or shut down
				c.Close()
				connections <- "ended"
			}()
		}
	}()
	channel, theirs := socketPair(t)
	cmd := childCommand("network", true)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cmd.Env, tcpPort+"="+port(tcp.Addr()), udpPort+"="+port(udp.LocalAddr()), abstract+"="+name, interfaces+"="+interfaceNames())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		listener, err := receiveFD(channel)
		if err != nil {
			return
		}
		// The child reports that it has closed a socket, and continues when the other
		// end has noticed.
		go func() {
			buffer := make([]byte, 1)
			if n, _ := channel.Read(buffer); n == 1 {
				<-connections
				_, _ = channel.Write(buffer)
			}
		}()
		proc, _ := os.Open("/proc")
		defer proc.Close()
		Serve(os.NewFile(uintptr(listener), "listener"), Answers{Known: func(dir string) bool { return dir == "/known" }, Proc: proc, Sockets: true})
	}()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	<-served
	udp.Close()
	var got []string
	for text := range datagrams {
		got = append(got, text)
	}
	if strings.Join(got, " ") != "before before" {
		t.Errorf("datagrams came: %q", got)
	}
}

func socketPair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
}

func receiveFD(channel *os.File) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(channel.Fd()), make([]byte, 1), rights, 0)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) == 0 {
		return 0, errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	return fds[0], err
}

func port(a net.Addr) string { _, port, _ := net.SplitHostPort(a.String()); return port }

func interfaceNames() string {
	all, _ := net.Interfaces()
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

// networking runs in the sandbox.
func networking() error {
	if err := LoopbackUp(); err != nil {
		return err
	}
	outside := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	outside.Port, _ = strconv.Atoi(os.Getenv(tcpPort))
	datagrams := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	datagrams.Port, _ = strconv.Atoi(os.Getenv(udpPort))
	// The sandbox has none of these capabilities.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err
	}
	caps[0].Effective &^= 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE
	caps[0].Permitted &= caps[0].Effective
	caps[0].Inheritable = 0
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return err
	}
	if err := filterable(); err != nil {
		return err
	}
	if err := Deny(); err != nil {
		return err
	}
	listener, err := Intercept(true)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(channelFD, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return err
	}
	unix.Close(listener)
	s, err := whileOpen(outside, datagrams)
	if err != nil {
		return fmt.Errorf("while it is open: %w", err)
	}
	for range 2 { // a second request is allowed
		if err := unix.Unmount("/", closeNetwork); err != nil {
			return fmt.Errorf("cannot close it: %w", err)
		}
	}
	if err := s.afterwards(outside, datagrams); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return nil
}

// sockets are the sockets of a process at the moment when the network is closed.
type sockets struct{ connected, fresh, listening, udp, udpNew, netlink int }

func whileOpen(outside, datagrams unix.Sockaddr) (s sockets, err error) {
	for _, make := range []struct {
		fd                     *int
		family, kind, protocol int
	}{
		{&s.connected, unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, unix.IPPROTO_TCP},
		{&s.fresh, unix.AF_INET, unix.SOCK_STREAM, 0},
		{&s.listening, unix.AF_INET, unix.SOCK_STREAM, 0},
		{&s.udp, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP},
		{&s.udpNew, unix.AF_INET, unix.SOCK_DGRAM, 0},
		{&s.netlink, unix.AF_NETLINK, unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE},
	} {
		if *make.fd, err = unix.Socket(make.family, make.kind, make.protocol); err != nil {
			return s, err
		}
		flags, _ := unix.FcntlInt(uintptr(*make.fd), unix.F_GETFD, 0)
		status, _ := unix.FcntlInt(uintptr(*make.fd), unix.F_GETFL, 0)
		if (flags != 0) != (make.kind&unix.SOCK_CLOEXEC != 0) || (status&unix.O_NONBLOCK != 0) != (make.kind&unix.SOCK_NONBLOCK != 0) {
			return s, fmt.Errorf("a socket of type %#x has the flags %#x and %#x", make.kind, flags, status)
		}
	}
	low := &unix.SockaddrInet4{Port: 1, Addr: [4]byte{127, 0, 0, 1}}
	_ = unix.Listen(s.listening, 1)
	for _, c := range []check{
		{"connect", func() error { return unix.Connect(s.connected, outside) }, nil},
		{"hello", func() error { return hears(s.connected, "hello") }, nil},
		{"a datagram", func() error { return unix.Sendto(s.udp, []byte("before"), 0, datagrams) }, nil},
		{"its echo", func() error { return hears(s.udp, "before") }, nil},
		{"a connected datagram", func() error { return unix.Connect(s.udpNew, datagrams) }, nil},
		{"which is sent", func() error { _, err := unix.Write(s.udpNew, []byte("before")); return err }, nil},
		{"its echo", func() error { return hears(s.udpNew, "before") }, nil},
		{"a mark", func() error { return unix.SetsockoptInt(s.fresh, unix.SOL_SOCKET, unix.SO_MARK, 1) }, unix.EPERM},
		{"a buffer by force", func() error { return unix.SetsockoptInt(s.fresh, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) }, unix.EPERM},
		{"a low port", func() error { return unix.Bind(s.fresh, low) }, unix.EACCES},
		{"a change of a link", func() error { return setLink(s.netlink) }, unix.EPERM},
		{"a mount", func() error { return unix.Mount("none", "/known", "tmpfs", 0, "") }, nil},
		{"another mount", func() error { return unix.Mount("none", "/unknown", "tmpfs", 0, "") }, unix.EPERM},
		{"a socket that is no download", func() error { return closing(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)) }, notPermitted()},
		{"one of virtual machines", func() error { return closing(unix.Socket(afVsock, unix.SOCK_STREAM, 0)) }, unix.EAFNOSUPPORT},
		{"a local socket", abstractSocket, unix.ECONNREFUSED},
	} {
		if err := c.run(); err != nil {
			return s, err
		}
	}
	if got := interfaceNames(); got != os.Getenv(interfaces) {
		return s, fmt.Errorf("the interfaces are %q, want %q", got, os.Getenv(interfaces))
	}
	// The other end notices that a socket was closed.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, outside)
	}
	if err == nil {
		err = unix.Close(fd)
	}
	if err == nil {
		_, err = unix.Write(channelFD, []byte{0})
	}
	if err == nil {
		_, err = unix.Read(channelFD, make([]byte, 1))
	}
	if err == nil { // the other sockets still work
		_, err = unix.Write(s.connected, []byte("more"))
	}
	return s, err
}

// notPermitted returns the error of a socket that needs a capability.
func notPermitted() error {
	if runtime.GOARCH == "386" { // the filter cannot answer socketcall(2)
		return unix.EAFNOSUPPORT
	}
	return unix.EPERM
}

func hears(fd int, want string) error {
	text := make([]byte, 100)
	n, err := unix.Read(fd, text)
	if err == nil && string(text[:n]) != want {
		return fmt.Errorf("%q came, want %q", text[:n], want)
	}
	return err
}

func abstractSocket() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: os.Getenv(abstract)})
}

// setLink asks the kernel to change a network link that does not exist.
func setLink(fd int) error {
	message := struct {
		unix.NlMsghdr
		unix.IfInfomsg
	}{unix.NlMsghdr{Len: 32, Type: unix.RTM_SETLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}, unix.IfInfomsg{Index: 1 << 30}}
	if _, err := unix.Write(fd, unsafe.Slice((*byte)(unsafe.Pointer(&message)), 32)); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	if n, err := unix.Read(fd, answer); err != nil || n < 20 {
		return fmt.Errorf("%d bytes came: %w", n, err)
	}
	return errnoOrNil(unix.Errno(-*(*int32)(unsafe.Pointer(&answer[16]))))
}

func (s sockets) afterwards(outside, datagrams unix.Sockaddr) error {
	anew := func(fd int, to unix.Sockaddr) func() error {
		return func() error {
			address := [16]byte{} // AF_UNSPEC
			_, _, _ = unix.Syscall(unix.SYS_CONNECT, uintptr(fd), addressOf(&address), 16)
			return unix.Connect(fd, to)
		}
	}
	written := func(fd int) func() error {
		return func() error { _, err := unix.Write(fd, []byte("after")); return err }
	}
	loopback := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 1})
	for _, c := range []check{
		{"a connection", written(s.connected), unix.EPIPE},
		{"which is made anew", anew(s.connected, outside), unix.ENODEV},
		{"one that was none", anew(s.fresh, outside), unix.ENODEV},
		{"and is bound to a device", func() error { return unix.SetsockoptString(s.fresh, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo") }, unix.EPERM},
		{"and gets another filter", func() error { return unix.SetsockoptInt(s.fresh, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) }, unix.EPERM},
		{"one that listened", anew(s.listening, outside), unix.ENODEV},
		{"a datagram", func() error { return unix.Sendto(s.udp, []byte("after"), 0, datagrams) }, unix.ENODEV},
		{"by a certain device", func() error { return unix.Sendmsg(s.udp, []byte("after"), loopback, datagrams, 0) }, unix.EPIPE},
		{"after a connection", func() error { _ = anew(s.udpNew, datagrams)(); return written(s.udpNew)() }, unix.EPIPE},
		{"after two", func() error { _ = anew(s.udpNew, datagrams)(); return written(s.udpNew)() }, unix.EPIPE},
		{"by a certain device", func() error { return unix.Sendmsg(s.udpNew, []byte("after"), loopback, nil, 0) }, unix.EPIPE},
		{"the kernel's routes", func() error {
			if err := setLink(s.netlink); errors.Is(err, unix.EAGAIN) { // no answer
				return unix.EAGAIN
			} else {
				return err
			}
		}, unix.EAGAIN},
		{"a local socket", abstractSocket, unix.ECONNREFUSED},
		{"a mount", func() error { return unix.Mount("none", "/known", "tmpfs", 0, "") }, nil},
		{"a new connection", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Connect(fd, outside)
		}, unix.ECONNREFUSED},
	} {
		if err := c.run(); err != nil {
			return err
		}
	}
	if got := interfaceNames(); got != "lo" {
		return fmt.Errorf("the interfaces are %q, want lo", got)
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer own.Close()
	c, err := net.Dial("tcp", own.Addr().String())
	if err != nil {
		return fmt.Errorf("what it has of its own: %w", err)
	}
	c.Close()
	return exec.Command("/bin/true").Run()
}
