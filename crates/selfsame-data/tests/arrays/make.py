"""Writes the arrays of this folder with NumPy (2.4.6): python make.py

The images are [12, 10, 9, 3] of values (37 n + 11 h + 5 w + 83 c) mod 251, the labels n mod 4, unless a line says otherwise.
"""

import numpy as np

shape = 12, 10, 9, 3
n, h, w, c = np.indices(shape)
a = ((37 * n + 11 * h + 5 * w + 83 * c) % 251).astype(np.uint8)
y = np.arange(12) % 4

# Kinds of numbers and orders of bytes.
np.save("bool", a > 128)
np.save("i8", (a // 2).astype(np.int8) - 60)
np.save("i16", a.astype(np.int16) - 100)
np.save("u16_big", (a.astype(np.uint16) * 200).astype(">u2"))
np.save("i32_big", (a.astype(np.int32) * 1000 - 7).astype(">i4"))
np.save("u32", a.astype(np.uint32))
np.save("i64", a.astype(np.int64))
np.save("f16", (a / 256).astype(np.float16))
np.save("f32_big", (a / 256).astype(">f4"))
np.save("f32_minus1_1", (a / 128 - 1).astype(np.float32))
np.save("f64", a / 256)

# Orders of axes and of memory.
np.save("fortran", np.asfortranarray(a))
np.save("fortran_f32", np.asfortranarray((a / 256).astype(np.float32)))
np.save("nchw", np.moveaxis(a, -1, 1).copy())
np.save("nchw16", np.moveaxis(np.resize(a, (12, 16, 16, 3)), -1, 1).copy())
np.save("hwc", a[0])

# Archives.
np.savez("arr0", a)
np.savez("X_y", X=a, Y=y)
np.savez("fortran", x=np.asfortranarray(a), y=y)
np.savez_compressed("keras", x_train=a, y_train=y, x_test=a[:8], y_test=y[:8])
np.savez_compressed(
    "medmnist",
    train_images=a, train_labels=y[:, None],
    val_images=a[4:8], val_labels=y[4:8, None],
    test_images=a[8:], test_labels=y[8:, None],
)
np.savez("string_labels", x=a, y=np.array(["owl", "cat", "fox", "dog"])[y])
np.savez("float_labels", images=a, labels=y.astype(np.float64))
np.savez("bool_labels", x=a, y=y > 1)
np.savez("half_labels", x=a, y=y / 2)
np.savez("own_names", left=a, right=a[::-1], kind=y)

# What is no array of images.
o = np.empty(3, object)
o[:] = [a[0], a[1], a[2][:5]]
np.save("objects", o, allow_pickle=True)
np.save("text", np.array(["a", "b"]))
open("zero.npy", "wb").close()
open("pickle.npy", "wb").write(b"\x80\x04K\x01.")
