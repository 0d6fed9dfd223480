// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>

#include <boot/cmdline.hpp>
#include <boot/init_process.hpp>
#include <bsd/exec.hpp>
#include <bsd/exit.hpp>
#include <bsd/fork.hpp>
#include <bsd/selftest.hpp>
#include <debug/log.hpp>
#include <libkern/format.hpp>
#include <vfs/block.hpp>
#include <vfs/initramfs.hpp>
#include <vfs/mount.hpp>
#include <vfs/vfs.hpp>
#include <vm/page.hpp>

namespace lentil {
namespace {

/// The user can do something about these, so they are no panics: a clear line and a failing power-off.
template<class... A>
[[noreturn]] void give_up(std::string_view format, const A&... args) {
    log_set_quiet(false);
    kprint("boot: ");
    kprint(format, args...);
    kprint("\nboot: giving up\n");
    machine::power(machine::PowerAction::off_failure);
}

void unpack_initramfs() {
    const machine::MemoryRange initrd = machine::boot_info.initrd;
    if (initrd.size == 0)
        give_up("no initramfs: start the kernel with -initrd FILE (a cpio archive, plain or gzip)");
    const std::span<const uint8_t> archive(static_cast<const uint8_t*>(machine::direct_map(initrd.start)), initrd.size);
    char message[160];
    size_t length = 0;
    if (!initramfs_unpack(archive, message, length).ok())
        give_up("broken initramfs: {}", std::string_view(message, length));
    // What it held lies in the root now; its own pages go to work.
    const paddr_t first = page_ceil(initrd.start), end = page_floor(initrd.start + initrd.size);
    if (end > first)
        page_add_range(first, end - first);
}

/// The directory that init begins in: the disk that root= names, or what the initramfs left.
RefPtr<Vnode> find_root() {
    const std::string_view disk = cmdline_value("root");
    if (disk.empty()) {
        unpack_initramfs();
        return mount_root();
    }
    const std::string_view type = cmdline_value("rootfstype");
    const uint64_t flags = cmdline_has("ro") ? mount_flags::read_only : mount_flags::relatime;
    const auto mounted = mount_attach(type.empty() ? "ext4" : type, mount_root(), {disk, {}, flags});
    if (!mounted.ok())
        give_up("cannot mount root={}: {}", disk, errno_text(mounted.error()));
    if (const auto dev = (*mounted)->root->lookup("dev"); dev.ok())
        (void)mount_attach("devtmpfs", *dev, {"devtmpfs", "mode=755", 0});
    return (*mounted)->root;
}

void append(StringList& list, std::string_view text) {
    if (list.used + text.size() + 1 > list.bytes.size())
        return;
    std::memcpy(list.bytes.data() + list.used, text.data(), text.size());
    list.used += text.size() + 1; // the buffer is zeroed
    list.count++;
}

/// Runs as pid 1, in the kernel: opens the console and becomes the program.
void init_entry(void*) {
    machine::irq_enable();
    const bool on_disk = !cmdline_value("root").empty();
    const std::string_view asked = cmdline_value(on_disk ? "init" : "rdinit");
    const std::string_view path = !asked.empty() ? asked : on_disk ? "/sbin/init" : "/init";
    Proc& self = current_proc();
    if (cmdline_value("selftest") == "fork")
        fork_selftest();

    const VfsContext context = VfsContext::current();
    if (auto console = vfs::open(context, vfs::at_cwd, "/dev/console", open_flags::read_write, 0); console.ok()) {
        for (int fd = 0; fd < 3; fd++)
            (void)self.fds->install(*console, false, 3);
    } else {
        kprint("boot: no /dev/console: {}\n", errno_text(console.error()));
    }

    ExecRequest request;
    auto arguments = Buffer<char>::create(2048);
    auto environment = Buffer<char>::create(2048);
    if (!arguments.ok() || !environment.ok())
        give_up("no memory for init");
    request.args.bytes = std::move(*arguments);
    request.env.bytes = std::move(*environment);
    append(request.args, path);
    append(request.env, "HOME=/");
    append(request.env, "TERM=linux");
    cmdline_for_each(
        [](std::string_view word, bool after_dashes, void* out) {
            ExecRequest& r = *static_cast<ExecRequest*>(out);
            if (after_dashes)
                append(r.args, word);
            else if (!cmdline_is_kernels(word) && word.find('.') > word.find('='))
                append(word.find('=') == std::string_view::npos ? r.args : r.env, word);
        },
        &request);
    request.path = path;
    auto file = exec_hooks.open(current_proc(), path);
    if (!file.ok())
        give_up("cannot run {}: {}", path, errno_text(file.error()));
    request.file = std::move(*file);
    if (const Result<void> result = exec_image(request); !result.ok())
        give_up("cannot run {}: {}", path, errno_text(result.error()));
    thread_return_to_user();
}

} // namespace

void start_init() {
    exec_hooks.open = [](const Proc& proc, std::string_view path) {
        return vfs::open_executable(VfsContext::of(proc), vfs::at_cwd, path);
    };
    if (const Result<void> result = vfs::init(); !result.ok())
        give_up("no root file system: {}", errno_text(result.error()));
    block_start_all();
    auto init = proc_create_init(find_root(), init_entry, nullptr);
    if (!init.ok())
        give_up("no memory for init: {}", errno_text(init.error()));
}

} // namespace lentil
