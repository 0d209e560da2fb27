package predecompress

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// readControl stores a package's control files, the fields that apt-listchanges asks
// for, and a mark if the package has no news. If it fails, dpkg-deb does the work
// later.
func (q *queue) readControl(ctx context.Context, pkg string) {
	place := q.place(pkg)
	if exists(place + done) {
		return
	}
	files, err := exec.CommandContext(ctx, q.Backend, "--ctrl-tarfile", pkg).Output()
	if err != nil || !q.reserve(len(files)) {
		return
	}
	control, err := member(files, "./control")
	if err != nil {
		return
	}
	_ = write(place+controlFiles, files)
	if answer, err := listchangesFields(control); err == nil {
		_ = write(place+fields, answer)
	}
	if sums, err := member(files, "./md5sums"); err == nil && len(sums) > 0 && !hasNews(sums) {
		_ = write(place+noNews, nil)
	}
}

// reserve reports whether there is space for size bytes of control files. Most of the
// space is reserved for decompressed packages, which save more time.
func (q *queue) reserve(size int) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(q.Dir, &st); err != nil {
		return false
	}
	return uint64(q.small.Add(int64(size))) <= st.Blocks*uint64(st.Bsize)/4
}

// write creates a file atomically.
func write(name string, content []byte) error {
	part := name + part
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, name)
}

// member returns the content of a file in a tar archive.
func member(archive []byte, name string) ([]byte, error) {
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, os.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		if header.Name == name {
			return io.ReadAll(files)
		}
	}
}

// asked are the fields of each package that apt-listchanges (3.24, 4.8) reads by
// dpkg-deb.
var asked = []string{"Package", "Source", "Version", "Architecture", "Status"}

// plain matches values that dpkg, which prints parsed values, prints unchanged. (dpkg
// drops an epoch of zero.)
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+:~-]*( \([A-Za-z0-9.+:~-]+\))?$`)

// listchangesFields returns the output of "dpkg-deb --field PACKAGE" for those fields
// of a control file. It fails if the output is not certain.
func listchangesFields(control []byte) ([]byte, error) {
	values := map[string]string{}
	last := ""
	for line := range strings.Lines(string(control)) {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if _, ok := values[last]; ok {
				return nil, fmt.Errorf("the field %q has more than one line", last)
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = name
		for _, field := range asked {
			if strings.EqualFold(name, field) {
				last, values[field] = field, strings.TrimSpace(value)
			}
		}
	}
	var answer bytes.Buffer
	for _, field := range asked {
		value, ok := values[field]
		if !ok {
			continue
		}
		if !plain.MatchString(value) || field == "Version" && strings.HasPrefix(value, "0:") {
			return nil, fmt.Errorf("dpkg-deb may print a different %s than %q", field, value)
		}
		fmt.Fprintf(&answer, "%s: %s\n", field, value)
	}
	return answer.Bytes(), nil
}

// news matches the files that apt-listchanges(1) shows by default, in a package's
// md5sums.
var news = regexp.MustCompile(`^[0-9a-f]{32}  usr/share/doc/[^/]+/NEWS\.Debian(\.gz)?$`)

// hasNews reports whether md5sums lists news. It returns true if it cannot read
// md5sums.
func hasNews(sums []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		if news.Match(lines.Bytes()) {
			return true
		}
	}
	return lines.Err() != nil
}
