// Package parallel runs many small tasks on all processors.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Each calls do for each number below n, several at a time, and returns after all calls
// have returned. After an error it starts no more calls. Of several errors it returns
// the one with the lowest number.
func Each(n int, do func(i int) error) error {
	var (
		begun  atomic.Int64
		failed atomic.Bool
		mutex  sync.Mutex
		first  = n
		err    error
		all    sync.WaitGroup
	)
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Add(1)
		go func() {
			defer all.Done()
			for !failed.Load() {
				i := int(begun.Add(1)) - 1
				if i >= n {
					return
				}
				if e := do(i); e != nil {
					failed.Store(true)
					mutex.Lock()
					if i < first {
						first, err = i, e
					}
					mutex.Unlock()
				}
			}
		}()
	}
	all.Wait()
	return err
}
