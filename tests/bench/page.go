package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// insert replaces a section of a page by text: the part between the comments
// "bench:NAME" and "end of bench:NAME". A page without these comments stays unchanged.
func insert(page, name, text string) (string, error) {
	begin, end := "<!-- bench:"+name+" -->\n", "<!-- end of bench:"+name+" -->\n"
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return page, fmt.Errorf("the page has no place for %s", name)
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}

// render prints the current results, and writes them to docs.
func render(dir, docs string) error {
	all, err := readResults[Result](filepath.Join(dir, "results.jsonl"))
	if err != nil {
		return err
	}
	small, err := readResults[Small](filepath.Join(dir, "small.jsonl"))
	if err != nil {
		return err
	}
	file := filepath.Join(docs, "performance.md")
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot render: %w", err)
	}
	page := string(data)
	put := func(name, text string) {
		fmt.Printf("\n%s\n\n%s", name, text)
		var wrong error
		page, wrong = insert(page, name, text)
		err = errors.Join(err, wrong)
	}
	results := counted(all)
	var charts []Chart
	for _, w := range workloads() {
		if list := rows(of(results, w, false), variants()); len(list) > 0 {
			put(w.Key, summary(list)+"\n"+tableOf(list))
			charts = append(charts, Chart{Title: w.Key + ": " + w.Title, Rows: list})
		}
		if list := rows(of(results, w, true), speedVariants()); len(list) > 3 {
			put(w.Key+"-speed", tableOf(list))
		}
	}
	if len(small) > 0 {
		put("small", smallTable(small))
	}
	if err != nil {
		return fmt.Errorf("cannot render: %w", err)
	}
	err = os.WriteFile(file, []byte(page), 0o644)
	if err == nil && len(charts) > 0 {
		err = os.WriteFile(filepath.Join(docs, "performance.svg"), []byte(plot(charts)), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot render: %w", err)
	}
	return nil
}

// of returns a workload's results: of the variants in the tables, or, with speed, of
// single speed-ups and the variants that they are compared with.
func of(results []Result, w Workload, speed bool) []Result {
	known := map[string]bool{}
	list := variants()
	if speed {
		list = speedVariants()
	}
	for _, v := range list {
		known[v.Key] = true
	}
	var picked []Result
	for _, r := range results {
		if r.Workload == w.Key && (known[r.Variant] || !speed && !isSpeed(r.Variant)) {
			picked = append(picked, r)
		}
	}
	return picked
}

func isSpeed(key string) bool {
	return strings.HasPrefix(key, "only-") || strings.HasPrefix(key, "without-")
}
