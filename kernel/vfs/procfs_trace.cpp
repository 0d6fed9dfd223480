// SPDX-License-Identifier: BSD-2-Clause
// /proc/lentil/trace and trace_control: what the trace rings hold, as text, and the switch. docs/tracing.md has the format.
#include <debug/trace.hpp>
#include <sched/sched.hpp>
#include <vfs/lookup.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

/// What a reader needs to give names to numbers.
void add_header(TextBuffer& out) {
    out.text("# lentil trace 1\n# TIME_NS HART THREAD PID TID PROBE NAME=VALUE...\n");
    sched_harts().for_each([&](unsigned i) {
        const TraceCounts counts = trace_counts(i);
        out.add("# hart {} recorded {} lost {}\n", i, counts.recorded, counts.lost);
    });
    for (RefPtr<Proc> proc = proc_next(1); proc; proc = proc_next(proc->pid + 1)) {
        pid_t parent = 0;
        {
            ProcTreeGuard guard(proc_tree_lock);
            parent = proc->parent ? proc->parent->pid : 0;
        }
        out.add("# process {} {} {}\n", proc->pid, parent, std::string_view(proc->comm));
    }
    // Names first, text later: the list's lock allows no allocation.
    struct KernelThreads {
        struct {
            uint64_t id;
            char name[16];
        } all[32];
        size_t count = 0;
    } found;
    for_each_thread(
        [](Thread& thread, void* to) {
            KernelThreads& k = *static_cast<KernelThreads*>(to);
            if (thread.task || k.count == std::size(k.all))
                return;
            k.all[k.count].id = thread.id;
            __builtin_memcpy(k.all[k.count++].name, thread.name, sizeof thread.name);
        },
        &found);
    for (size_t i = 0; i < found.count; i++)
        out.add("# kernel-thread {} {}\n", found.all[i].id, std::string_view(found.all[i].name));
}

/// An open trace: everything recorded up to the open, or to the last seek to the beginning. Never holds all of it.
class TraceFile final : public File {
public:
    static constexpr const char* zone_name = "trace_files";
    TraceFile(Vnode& node, uint32_t flags_value) : File(flags_value), node_(&node) {}
    void dispose() override { zone_delete(this); }

    Result<void> rewind() {
        header_.clear();
        add_header(header_);
        if (header_.failed())
            return Errno::nomem;
        pending_ = header_.view();
        cursor_ = TraceCursor();
        return {};
    }
    Result<size_t> read(Uio& uio) override {
        MutexGuard guard(lock_);
        size_t done = 0;
        while (uio.left() > 0) {
            if (pending_.empty()) {
                TraceRecord record;
                if (!cursor_.next(record))
                    break;
                pending_ = trace_format(line_, record);
            }
            const size_t n = TRY(uio.put(pending_.data(), pending_.size()));
            pending_.remove_prefix(n);
            done += n;
        }
        return done;
    }
    Result<size_t> write(Uio&) override { return Errno::badf; }
    Result<off_t> seek(off_t offset, Whence whence) override {
        if (offset != 0 || whence != Whence::set)
            return Errno::inval;
        MutexGuard guard(lock_);
        TRY(rewind());
        return off_t{0};
    }
    uint32_t poll(uint32_t events, PollTable*) override { return events & (poll_events::in | poll_events::rdnorm); }
    Result<FileStat> stat() override { return node_->stat(); }
    size_t describe(std::span<char> buffer) override { return describe_node(*node_, buffer); }
    FsNode* node() override { return node_.get(); }

private:
    const RefPtr<Vnode> node_;
    Mutex<Rank::file> lock_;
    TextBuffer header_;
    std::string_view pending_; ///< of header_ or line_
    char line_[240];
    TraceCursor cursor_;
};

} // namespace

Result<RefPtr<File>> procfs_trace_open(Vnode& node, const ProcTarget&, uint32_t flags) {
    RefPtr<TraceFile> file = TRY(make_ref<TraceFile>(node, flags));
    TRY(file->rewind());
    return RefPtr<File>(std::move(file));
}

Result<void> procfs_trace_control(TextBuffer& out, const ProcTarget&) {
    out.add("records {}\n", trace_capacity());
    sched_harts().for_each([&](unsigned i) {
        const TraceCounts counts = trace_counts(i);
        out.add("hart {} recorded {} lost {}\n", i, counts.recorded, counts.lost);
    });
    out.add("{} syscalls\n", trace_state::any(trace_state::console_syscalls) ? "on " : "off");
    for (uint32_t i = 0; i < static_cast<uint32_t>(Probe::count); i++) {
        const auto probe = static_cast<Probe>(i);
        out.add("{} {} {}\n", trace_on(probe) ? "on " : "off", probe_info(probe).name, probe_info(probe).arguments);
    }
    return {};
}

Result<void> procfs_set_trace_control(const ProcTarget&, std::string_view text) { return trace_configure(text); }

} // namespace lentil
