// Bench measures the cost of upgrades in place and in boot environments. scripts/bench
// runs it.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cache is the directory of results and logs, from the repository's root.
const cache = ".cache/bench"

func main() {
	err := start(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// start carries out the first argument.
func start(args []string) error {
	if len(args) == 0 {
		return errors.New("cannot do anything without a command: scripts/bench knows which")
	}
	switch args[0] {
	case "run":
		return measureAll(args[1:])
	case "render":
		return render(cache, "docs")
	case "repack":
		if len(args) == 3 {
			return repackAll(args[1], args[2])
		}
	case "inside":
		return inside(os.Stdout)
	}
	return fmt.Errorf("cannot do %q", strings.Join(args, " "))
}

// Job is one upgrade to measure.
type Job struct {
	Workload Workload
	Variant  Variant
	Round    int
}

// jobs returns all jobs in order. Each round has every variant once, so that the
// machine's slow and fast times affect all variants alike.
func jobs(workloads []Workload, variants []Variant, rounds int) []Job {
	var list []Job
	for _, w := range workloads {
		for round := range rounds {
			for _, v := range variants {
				list = append(list, Job{w, v, round})
			}
		}
	}
	return list
}

// measureAll runs the jobs that have no results yet.
func measureAll(args []string) (err error) {
	flags := flag.NewFlagSet("bench run", flag.ContinueOnError)
	workload := flags.String("workload", "", "")
	rounds := flags.Int("rounds", 3, "")
	speed := flags.Bool("speed", false, "")
	small := flags.Bool("small", false, "")
	upgrades := flags.Bool("upgrades", false, "")
	var inputs Inputs
	flags.StringVar(&inputs.Roots, "roots", "", "")
	flags.StringVar(&inputs.Rebuild, "rebuild", "", "")
	aptBe := flags.String("apt-be", "", "")
	preload := flags.String("preload", "", "")
	patched := flags.String("patched", "", "")
	var chosen []Variant
	flags.Func("variant", "", func(text string) error {
		v, err := parseVariant(text)
		chosen = append(chosen, v)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	list, err := parseWorkloads(*workload)
	if err != nil {
		return err
	}
	debs := map[Kind][]string{KindBE: {*aptBe}}
	if debs[KindEatmydata], err = eatmydata(filepath.Join(inputs.Roots, "archives")); err != nil {
		return err
	}
	for kind, deb := range map[Kind]string{KindPreload: *preload, KindPatched: *patched} {
		if deb != "" {
			debs[kind] = []string{*aptBe, deb}
		}
	}
	if len(chosen) == 0 {
		chosen = variants()
		if *speed {
			chosen = speedVariants()
		}
		chosen = slices.DeleteFunc(chosen, func(v Variant) bool {
			missing := v.Kind != KindStock && len(debs[v.Kind]) == 0
			if missing && *upgrades {
				fmt.Fprintf(os.Stderr, "bench: left out, since its package was not built: %s\n", v.Title)
			}
			return missing
		})
	}

	lock, err := os.Create(filepath.Join(cache, "bench.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("cannot measure while another bench does: %w", err)
	}
	if err := removeStale(cache); err != nil {
		return err
	}
	disk, err := newDisk(cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	lab := &Lab{disk: disk, inputs: inputs, debs: debs, plans: map[string]Plan{}}
	// An interrupt ends the current run. Earlier results are kept.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *upgrades {
		if err := lab.upgrades(ctx, jobs(list, chosen, *rounds)); err != nil {
			return err
		}
	}
	if *small {
		return lab.smalls(ctx, *rounds)
	}
	return nil
}

// upgrades runs the jobs that have no results yet.
func (l *Lab) upgrades(ctx context.Context, list []Job) error {
	file := filepath.Join(cache, "results.jsonl")
	old, err := readResults[Result](file)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, r := range counted(old) {
		done[r.ID()] = true
	}
	logs := filepath.Join(cache, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	for i, job := range list {
		setup, err := l.setup(job.Variant, job.Workload)
		if err != nil {
			return err
		}
		about := Result{Workload: job.Workload.Key, Variant: job.Variant.Key, Title: job.Variant.Title, Options: strings.Join(job.Variant.Options, " "), Round: job.Round, Setup: setup}
		if done[about.ID()] {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s  %d of %d: %s, %s, round %d: ", time.Now().Format(time.TimeOnly), i+1, len(list), job.Workload.Key, job.Variant.Title, job.Round+1)
		log := filepath.Join(logs, fmt.Sprintf("%s-%s-%d.log", job.Workload.Key, job.Variant.Key, job.Round+1))
		r, err := l.run(ctx, job.Variant, job.Workload, log)
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted"), err)
		}
		if err != nil {
			return err
		}
		r.Workload, r.Variant, r.Title, r.Options, r.Round, r.Setup = about.Workload, about.Variant, about.Title, about.Options, about.Round, about.Setup
		r.At = time.Now().UTC().Format(time.RFC3339)
		if err := appendResult(file, r); err != nil {
			return err
		}
		if r.Failed != "" {
			fmt.Fprintf(os.Stderr, "failed: %s (see %s)\n", r.Failed, log)
			continue
		}
		fmt.Fprintf(os.Stderr, "%.1f s (%.0f + %.0f), %s written, %s new data\n", r.Wall, r.User, r.System, megabytes(float64(r.Written)), megabytes(float64(r.Data)))
	}
	return nil
}

// smalls measures the small commands on machines with three numbers of environments.
func (l *Lab) smalls(ctx context.Context, rounds int) error {
	for _, n := range []int{1, 10, 100} {
		fmt.Fprintf(os.Stderr, "%s  small commands with %d environments\n", time.Now().Format(time.TimeOnly), n)
		s, err := l.measureSmall(ctx, n, rounds)
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted"), err)
		}
		if err != nil {
			return err
		}
		for name, why := range s.Failed {
			fmt.Fprintf(os.Stderr, "  %s failed: %s\n", name, why)
		}
		if s.Setup, err = l.setup(Variant{Kind: KindBE}, Workload{}); err != nil {
			return err
		}
		if err := appendResult(filepath.Join(cache, "small.jsonl"), s); err != nil {
			return err
		}
	}
	return nil
}

// setup returns a hash of a machine's inputs. Results with other packages do not count.
func (l *Lab) setup(v Variant, w Workload) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, l.inputs.of(w), v.command())
	for _, deb := range l.debs[v.Kind] {
		sum, err := sumOf(deb)
		if err != nil {
			return "", fmt.Errorf("cannot read a package: %w", err)
		}
		fmt.Fprintf(h, "%x\n", sum)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}
