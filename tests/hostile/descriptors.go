package hostile

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors returns the attempts at the caller's open files.
func descriptors() []Attempt {
	return []Attempt{
		{Name: "fd-inherited", Wall: "descriptors", What: "finds a descriptor above 2 that it was given", run: func() Verdict {
			for fd := 3; fd < 512; fd++ {
				if from := foreign("/proc/self", fmt.Sprint(fd)); from != "" {
					return broken("descriptor %d is %s", fd, from)
				}
			}
			return held("there is none")
		}},
		{Name: "fd-stdio", Wall: "descriptors", What: "finds a file, a directory or a device of the caller's at 0, 1 or 2 of any process", run: func() Verdict {
			processes, _ := filepath.Glob("/proc/[0-9]*")
			for _, process := range append(processes, "/proc/self") {
				for fd := range 3 {
					if from := foreign(process, fmt.Sprint(fd)); from != "" {
						return broken("%s/fd/%d is %s", process, fd, from)
					}
				}
			}
			return held("they are pipes, or of here")
		}},
		{Name: "fd-chmod", Wall: "descriptors", What: "fchmod 4755, ftruncate and a reopening for writing of 0, 1 and 2 that are files", run: func() Verdict {
			var found []string
			processes, _ := filepath.Glob("/proc/[0-9]*")
			for _, process := range append(processes, "/proc/self") {
				for fd := range 3 {
					if foreign(process, fmt.Sprint(fd)) == "" {
						continue
					}
					path := fmt.Sprintf("%s/fd/%d", process, fd)
					var st unix.Stat_t
					if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR {
						continue
					}
					if unix.Chmod(path, 0o4755) == nil {
						found = append(found, "chmod "+path)
					}
					if opensForWriting(path) == nil {
						found = append(found, "opened "+path)
					}
				}
			}
			if len(found) > 0 {
				return broken("%v", found)
			}
			return held("none is a file")
		}},
		{Name: "fd-openat", Wall: "descriptors", What: "goes up from each directory that it was given", run: func() Verdict {
			processes, _ := filepath.Glob("/proc/[0-9]*/fd/*")
			for _, path := range processes {
				parts := strings.Split(path, "/")
				from := foreign("/proc/"+parts[2], parts[4])
				if from != "" && listsAnything(path+"/..") == nil {
					return broken("%s/.. of %s", path, from)
				}
			}
			return held("there is none")
		}},
		{Name: "fd-passed", Wall: "descriptors", What: "waits for a descriptor by SCM_RIGHTS on each socket that it can connect to", run: func() Verdict {
			for _, name := range sockets() {
				connection, err := net.DialTimeout("unix", name, time.Second)
				if err != nil {
					continue
				}
				_ = connection.SetDeadline(time.Now().Add(200 * time.Millisecond))
				_, _ = connection.Write([]byte("hostile\n"))
				out := make([]byte, 512)
				_, n, _, _, err := connection.(*net.UnixConn).ReadMsgUnix(make([]byte, 512), out)
				connection.Close()
				if err == nil && n > 0 {
					return broken("%s passed one", name)
				}
			}
			return held("none was passed")
		}},
	}
}

// sockets returns the named sockets, including abstract ones.
func sockets() []string {
	var names []string
	data, _ := os.ReadFile("/proc/net/unix")
	for _, line := range strings.Split(string(data), "\n") {
		if i := strings.LastIndexByte(line, ' '); i >= 0 && strings.ContainsAny(line[i+1:], "/@") {
			names = append(names, strings.ReplaceAll(line[i+1:], "\x00", ""))
		}
	}
	return names
}

// network returns the attempts at services and at the network of the running system.
func network() []Attempt {
	contact := func(network, address string) Verdict {
		if strings.HasSuffix(address, ":0") || address == "@" {
			return held("nothing was planted")
		}
		connection, err := net.DialTimeout(network, address, time.Second)
		if err != nil {
			return held("%v", err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(time.Second))
		_, _ = connection.Write([]byte("hostile over " + network + "\n"))
		if network == "udp" {
			if _, err := connection.Read(make([]byte, 16)); err != nil {
				return held("nobody answered: %v", err)
			}
		}
		return broken("connected to %s", address)
	}
	return []Attempt{
		{Name: "loopback", Wall: "network", What: "connects to a service of the running system on 127.0.0.1", run: func() Verdict {
			return contact("tcp", fmt.Sprintf("127.0.0.1:%d", plan().TCP))
		}},
		{Name: "loopback-udp", Wall: "network", What: "sends to a service of the running system on 127.0.0.1", run: func() Verdict {
			return contact("udp", fmt.Sprintf("127.0.0.1:%d", plan().UDP))
		}},
		{Name: "loopback-addresses", Wall: "network", What: "connects to it by 0.0.0.0, by the address of an interface and by an IPv6 address that holds it", run: func() Verdict {
			port := plan().TCP
			if port == 0 {
				return held("nothing was planted")
			}
			hosts := []string{"0.0.0.0", "127.1.2.3", "::ffff:127.0.0.1", "::1", "localhost"}
			addresses, _ := net.InterfaceAddrs()
			for _, address := range addresses {
				if ip, _, err := net.ParseCIDR(address.String()); err == nil {
					hosts = append(hosts, ip.String())
				}
			}
			var last Verdict
			for _, host := range hosts {
				if last = contact("tcp", net.JoinHostPort(host, fmt.Sprint(port))); last.Outcome != Held {
					return last
				}
			}
			return last
		}},
		{Name: "abstract-socket", Wall: "network", What: "connects to an abstract socket of the running system", run: func() Verdict {
			return contact("unix", "@"+plan().Abstract)
		}},
		{Name: "abstract-list", Wall: "network", What: "lists the sockets of the running system in /proc/net/unix", run: func() Verdict {
			name := plan().Abstract
			for _, socket := range sockets() {
				if name != "" && strings.Contains(socket, name) {
					return broken("%s", socket)
				}
			}
			return held("it is not there")
		}},
		{Name: "named-sockets", Wall: "network", What: "connects to D-Bus, systemd's private sockets, and others of /run", run: func() Verdict {
			var last error
			names := append(plan().Sockets, "/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/notify",
				"/run/systemd/io.system.ManagedOOM", "/run/udev/control", "/run/docker.sock", "/run/snapd.socket", "/run/acpid.socket", "/run/nscd/socket")
			for _, top := range []string{"", "/proc/self/root", "/proc/1/root", "/proc/2/root"} {
				for _, name := range names {
					connection, err := net.DialTimeout("unix", top+name, time.Second)
					if last = err; err == nil {
						connection.Close()
						return broken("%s", top+name)
					}
				}
			}
			return held("%v", last)
		}},
		{Name: "vsock", Wall: "network", What: "connects to the machine that this one is a guest of", run: func() Verdict {
			fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			for _, cid := range []uint32{unix.VMADDR_CID_HOST, unix.VMADDR_CID_LOCAL} {
				// A port without a listener.
				err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: 4294967294})
				if err == nil || err == unix.EINPROGRESS {
					return broken("connects to %d: %v", cid, err)
				}
			}
			return held("%v", err)
		}},
		{Name: "packets", Wall: "network", What: "listens to the network with a packet socket", run: func() Verdict {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			interfaces, _ := net.Interfaces()
			if len(interfaces) <= 1 {
				return held("there is only the own loopback")
			}
			return broken("listens to %d interfaces", len(interfaces))
		}},
		{Name: "netlink", Wall: "network", What: "sets an interface down that there isn't", run: func() Verdict {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			request, _ := unix.NewIfreq("lo")
			if err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err == nil {
				err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
			}
			return refused(err, "set the flags of lo")
		}},
		{Name: "uevents", Wall: "network", What: "sends an event of the kernel's to udev", run: func() Verdict {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			// Udev accepts messages with this beginning from group 2, and only from
			// root.
			err = unix.Sendto(fd, []byte("libudev\x00hostile"), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 2})
			if err == nil && hasInterfaces() {
				return broken("sent one in the running system's network")
			}
			return held("%v", err)
		}},
		{Name: "port-taken", Wall: "network", What: "takes a port of a service of the running system, to be asked in its place", run: func() Verdict {
			listener, err := net.Listen("tcp", "127.0.0.1:1")
			if err != nil {
				return held("%v", err)
			}
			listener.Close()
			if hasInterfaces() {
				return did("port 1 of the running system's network")
			}
			return held("it is a port of its own network")
		}},
	}
}

// hasInterfaces reports whether there are interfaces besides the loopback.
func hasInterfaces() bool {
	interfaces, err := net.Interfaces()
	return err == nil && len(interfaces) > 1
}

// victim is a process outside that attempts must not reach: it listens, and writes each
// contact to a file in its directory. A line of output says that it is ready.
func victim(dir string) error {
	contacts, err := os.OpenFile(filepath.Join(dir, "contacts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p := plan()
	p.Abstract = fmt.Sprintf("apt-be-hostile-%d-%d", os.Getpid(), time.Now().UnixNano())
	var names []string
	serve := func(network, address string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_ = connection.SetDeadline(time.Now().Add(time.Second))
				data, _ := io.ReadAll(io.LimitReader(connection, 100))
				fmt.Fprintf(contacts, "%s %s: %q\n", network, address, data)
				connection.Close()
			}
		}()
		return listener, nil
	}
	tcp, err := serve("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.TCP = tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.UDP = udp.LocalAddr().(*net.UDPAddr).Port
	go func() {
		buffer := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			fmt.Fprintf(contacts, "udp: %q\n", buffer[:n])
			_, _ = udp.WriteTo(buffer[:n], from)
		}
	}()
	if _, err := serve("unix", "@"+p.Abstract); err != nil {
		return err
	}
	for _, name := range []string{"/run/dbus/system_bus_socket", "/run/systemd/private", "/run/hostile.socket"} {
		if _, err := os.Lstat(name); err == nil {
			continue // a real one
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if _, err := serve("unix", name); err != nil {
			return err
		}
		names = append(names, name)
	}
	p.Sockets, p.PID = names, os.Getpid()
	if err := savePlan(p); err != nil {
		return err
	}
	fmt.Println("victim: ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}
