"""The three reference networks, in torchvision's terms, and in timm's."""
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


def micro():
    """16-32-64, two basic blocks each."""
    net = ResNet(BasicBlock, [2, 2, 2, 1])
    net.inplanes = 16
    net.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
    net.bn1 = nn.BatchNorm2d(16)
    net.layer1 = net._make_layer(BasicBlock, 16, 2)
    net.layer2 = net._make_layer(BasicBlock, 32, 2, stride=2)
    net.layer3 = net._make_layer(BasicBlock, 64, 2, stride=2)
    net.layer4 = nn.Identity()
    net.fc = nn.Linear(64, 128, bias=False)
    net.maxpool = nn.Identity()
    return net


def resnet18():
    net = ResNet(BasicBlock, [2, 2, 2, 2])
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.fc = nn.Linear(512, 128, bias=False)
    net.maxpool = nn.Identity()
    return net


class BasicBlock1d(nn.Module):
    """torchvision's basic block, in time."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm1d(width)
        self.conv2, self.bn2 = nn.Conv1d(width, width, 3, 1, 1, bias=False), nn.BatchNorm1d(width)
        self.downsample = None
        if stride > 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv1d(inputs, width, 1, stride, bias=False), nn.BatchNorm1d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet1d_18():
    """ResNet-18 in time, of twelve channels."""
    widths = [64, 64, 128, 256, 512]
    stages = [
        BasicBlock1d(inputs, width, stride)
        for stage, width in enumerate(widths[1:])
        for inputs, stride in ((widths[stage], 2 if stage else 1), (width, 1))
    ]
    stem = [nn.Conv1d(12, 64, 7, 2, 3, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(512, 128, bias=False))


class Block(nn.Module):
    """timm's block, with PyTorch's fused attention."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.mlp(self.norm2(x))


def resnet50():
    net = ResNet(Bottleneck, [3, 4, 6, 3])
    net.fc = nn.Linear(2048, 128, bias=False)
    return net


class vit(nn.Module):
    """192 wide, 6 blocks of 3 heads, patches of 4 of 32 px, mean pooling."""

    def __init__(self, dim=192, depth=6, heads=3, patch=4, size=32):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.fc = nn.Linear(dim, 128, bias=False)

    def tokens(self, x):
        return self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed

    def forward(self, x):
        return self.fc(self.norm(self.blocks(self.tokens(x))).mean(1))


def vit_small():
    """ViT-S/16 at 224 px."""
    return vit(384, 12, 6, 16, 224)


class mae(nn.Module):
    """Masked autoencoder (He et al. 2021) with ViT-S/16, three quarters removed, a decoder of 2 blocks 96 wide; gives the errors."""

    def __init__(self):
        super().__init__()
        self.encoder = vit_small()
        self.embed, self.mask = nn.Linear(384, 96), nn.Parameter(torch.zeros(1, 1, 96))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 196, 96))
        self.blocks = nn.Sequential(*[Block(96, 3) for _ in range(2)])
        self.norm, self.pixels = nn.LayerNorm(96, 1e-6), nn.Linear(96, 768)

    def forward(self, x):
        batch = len(x)
        tokens = self.encoder.tokens(x)
        order = torch.rand(batch, 196).argsort(1)
        kept, back = order[:, :49], order.argsort(1)
        pick = lambda values, index: values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
        encoded = self.embed(self.encoder.norm(self.encoder.blocks(pick(tokens, kept))))
        whole = torch.cat([encoded, self.mask.expand(batch, 147, -1).to(encoded.dtype)], 1)
        pixels = self.pixels(self.norm(self.blocks(pick(whole, back) + self.positions)))
        target = x.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 4, 5, 1).reshape(batch, 196, 768)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        return pick(pixels.float() - target, order[:, 49:])
