package host

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/store/fake"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Links of an environment are resolved in the environment, not in the running system.
func TestFilesStayInside(t *testing.T) {
	st, err := fake.New(t.TempDir())
	must(t, err)
	for _, path := range []string{"@rootfs", "@be/new"} {
		must(t, st.Create(path))
		must(t, os.Mkdir(st.Path(path+"/boot"), 0o755))
		must(t, os.WriteFile(st.Path(path+"/boot/vmlinuz"), []byte("kernel of "+path), 0o644))
	}
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	for link, target := range map[string]string{"absolute": secret, "up": "../../../../../../../.." + secret, "inside": "/boot/vmlinuz"} {
		must(t, os.Symlink(target, st.Path("@be/new/boot/"+link)))
	}
	files := Files(st)
	for file, want := range map[string]string{
		"/@be/new/boot/vmlinuz": "kernel of @be/new", "/@be/new/boot/inside": "kernel of @be/new",
		"/@rootfs/boot/vmlinuz":  "kernel of @rootfs",
		"/@be/new/boot/absolute": "", "/@be/new/boot/up": "", "/@be/newer/boot/x": "", "/boot/vmlinuz": "", "x": "",
	} {
		in, err := files(file)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v, want it not to be there", file, err)
			}
			continue
		}
		must(t, err)
		content, err := io.ReadAll(in)
		if in.Close(); err != nil || string(content) != want {
			t.Errorf("%s holds %q, %v, want %q", file, content, err, want)
		}
	}
}
